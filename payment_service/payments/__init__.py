"""Payments: authorise, issue the tickets, capture; or nobody is charged."""
