"""Answers records: one, a list, or a stream."""
