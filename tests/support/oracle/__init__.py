"""A second implementation of the binding rules, written from the specification alone, to hold the
product against.
"""
