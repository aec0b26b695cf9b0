"""Merge, convert and quantize a model, and measure what it lost."""
