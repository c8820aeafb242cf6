"""Issued tickets and the door."""
