"""Taking orders from their payment to their tickets, or to their end."""
