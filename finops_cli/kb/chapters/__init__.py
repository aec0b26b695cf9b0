"""One chapter of the knowledge base a module: its typed values, and how they are compiled."""
