"""What the service keeps: files, jobs, fails, decisions, and the audit log, in SQLite."""
