"""Hooks: commands and webhooks that get events. A hook that fails or hangs slows nothing."""
