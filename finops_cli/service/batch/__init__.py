"""Runs jobs: a command of finops on an uploaded file, in a process of its own, resumable."""
