"""Venues, their halls, and the halls' seats."""
