"""Joins facts of other files, and of other rows of the same file, to the records of a blotter."""
