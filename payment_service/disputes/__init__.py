"""Disputes: a customer's bank takes a payment back, and asks why it should not."""
