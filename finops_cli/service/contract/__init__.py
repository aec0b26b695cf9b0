"""The rows of the table of routes, from which the OpenAPI document is made."""
