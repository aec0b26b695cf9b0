"""Inputs and outputs of a run that are more than one plain file of lines."""
