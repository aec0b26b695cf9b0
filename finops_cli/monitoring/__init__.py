"""Watch a run: speed, errors, health."""
