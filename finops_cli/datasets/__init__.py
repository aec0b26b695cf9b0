"""Verified training data: examples, splits, reports."""
