"""The values of the page of one fail, of its forms, and of its pool."""
