"""Work on all orders of an event, in the background."""
