"""Reads values whose form is not known yet: numbers, dates, identifiers, words."""
