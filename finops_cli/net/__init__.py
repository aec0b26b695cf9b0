"""Finds the obligations that settle at the same time, or proves that none do (kb: `net.*`)."""
