"""The audit log of a service: written by every part of it, shown, and verified."""
