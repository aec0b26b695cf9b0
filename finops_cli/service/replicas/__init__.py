"""Several services on one database: who is there, and whose jobs go on elsewhere."""
