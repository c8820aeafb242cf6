"""Vouchers: what a code takes off an order, opens, and how often."""
