"""Refunds: tickets that are taken back, and money on its way back."""
