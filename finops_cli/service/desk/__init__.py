"""The desk in a browser: pages made here from templates, for people who work with the fails.

A page asks the functions that the API asks; it never sends a request to the service itself.
"""
