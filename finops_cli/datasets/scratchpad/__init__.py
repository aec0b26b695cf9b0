"""Training rows with written-out working, for models of a million parameters."""
