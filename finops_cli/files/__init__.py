"""Files: safe reading and writing, JSON Lines, digests, what a terminal can show."""
