"""Orders, payments and refunds: all money lives here."""
