"""What customers receive, rendered: the tickets' PDF and the receipt that carries it."""
