"""Plans all fails of a book against one pool of sources for each security (kb: `book.*`)."""
