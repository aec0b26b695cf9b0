"""Classify financial texts as positive, neutral or negative."""
