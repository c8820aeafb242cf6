"""The waiting list: who gets the tickets that return once a ticket type is sold out."""
