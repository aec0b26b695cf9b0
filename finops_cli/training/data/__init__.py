"""Training rows: sources, formats, token batches."""
