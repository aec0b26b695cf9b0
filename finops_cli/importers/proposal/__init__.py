"""Proposes the mapping of a file: `propose(table, kb)`."""
