"""Counts events by item and time, for trending."""
