"""Organizers and the people who work for them: accounts, sessions and access tokens."""
