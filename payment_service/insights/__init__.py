"""What an organizer wants to know about a sale."""
