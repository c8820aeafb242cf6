"""Sending the notifications that are due, by mail."""
