"""Incidents of models while they answer, and the recovery of a model without memory."""
