"""Tools for whoever works on finops or tries it without a model; no command of finops needs
them.
"""
