"""Watches the answers of the service for drift, and tells hooks what happens."""
