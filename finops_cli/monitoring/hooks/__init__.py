"""Hooks: who is told of an event, and how. A hook that fails or hangs slows nothing."""
