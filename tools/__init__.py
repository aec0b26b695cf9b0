"""Programs for those who work on finops; no part of the package."""
