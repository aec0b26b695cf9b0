"""Letters to counterparties, written as files from the output lines of a run."""
