"""Consumes messages, renders and sends mail, and keeps the log of what was sent."""
