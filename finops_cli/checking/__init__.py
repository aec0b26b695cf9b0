"""Check output lines from any source against the rules."""
