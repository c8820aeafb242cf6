"""Seat maps: which seats an event has, who has them, and which are the best that are left."""
