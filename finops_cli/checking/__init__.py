"""Check output lines of any origin against the rules."""
