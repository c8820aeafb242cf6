"""Orders: a hold, a customer and the money."""
