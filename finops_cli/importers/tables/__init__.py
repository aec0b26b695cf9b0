"""Files of rows and cells, in each of their formats."""
