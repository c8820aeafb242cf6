"""Holds: what keeps a customer's tickets off sale while they pay."""
