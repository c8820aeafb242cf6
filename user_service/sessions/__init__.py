"""Signing in and out, and the tokens of a session."""
