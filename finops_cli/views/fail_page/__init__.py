"""The page of one fail, for a person."""
