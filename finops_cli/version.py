"""The version of finops."""

__version__ = "0.1.0"
