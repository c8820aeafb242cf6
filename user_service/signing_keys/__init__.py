"""The keys that sign access tokens: made here, kept sealed, and replaced in time."""
