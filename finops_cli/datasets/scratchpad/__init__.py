"""Training rows with a scratchpad (written-out working), for models of a million parameters."""
