"""Weights on their way from a trainer to llama.cpp: read where they lie, merged with an adapter,
written as GGUF, quantized, tried.
"""
