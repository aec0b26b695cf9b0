"""Decides for each field of a record which column gives it."""
