"""Turns the counts in Redis into ranked lists in Redis."""
