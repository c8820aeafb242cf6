"""Mails to customers, and how their delivery goes."""
