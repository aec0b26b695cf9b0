"""Rows of a table as fail records, by the mapping of a desk."""
