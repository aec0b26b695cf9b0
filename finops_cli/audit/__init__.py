"""Verify the evidence of a run, and answer an auditor who asks about its output."""
