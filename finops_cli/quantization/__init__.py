"""Merge, convert and quantize a model, and measure the loss of accuracy."""
