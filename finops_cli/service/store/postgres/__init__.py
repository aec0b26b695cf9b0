"""PostgreSQL: a connection that reads the statements of the store, and its database."""
