"""What the service keeps, in SQLite: the audit log."""
