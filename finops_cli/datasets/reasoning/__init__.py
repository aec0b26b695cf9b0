"""The written-out reasoning of the resolver, and its check."""
