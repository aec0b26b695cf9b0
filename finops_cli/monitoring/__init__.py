"""Watch a run while it goes: speed, errors, health."""
