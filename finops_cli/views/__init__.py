"""Show the close-out clock to people: an agenda for a terminal, and a calendar file."""
