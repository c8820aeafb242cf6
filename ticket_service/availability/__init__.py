"""What can be had of an event: now, and as it changes."""
