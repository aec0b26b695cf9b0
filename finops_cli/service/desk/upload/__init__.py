"""The upload pages: a file from the desk, its first rows with their faults, and the job on it."""
