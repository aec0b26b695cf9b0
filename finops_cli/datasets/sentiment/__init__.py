"""Labelled sentences for the sentiment model."""
