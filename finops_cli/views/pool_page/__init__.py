"""The page of one pool: the sources of a security, its fails, who gets what, what is missing."""
