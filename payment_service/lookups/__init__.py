"""Lookups: finding one's orders again without an account, by mail address and one-time code."""
