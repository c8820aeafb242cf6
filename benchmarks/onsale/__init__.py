"""The minute an event goes on sale: what the stock keeper does, and whether it stays honest."""
