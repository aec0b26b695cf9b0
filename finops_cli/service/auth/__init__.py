"""Who may use the service: tokens, roles, sessions."""
