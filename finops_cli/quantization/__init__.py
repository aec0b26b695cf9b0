"""Merges, converts and quantizes a model, and measures the loss of accuracy."""
