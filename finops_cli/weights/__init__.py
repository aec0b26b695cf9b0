"""Reads model weights, merges adapters, writes GGUF files and quantizes them."""
