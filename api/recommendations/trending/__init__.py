"""Trending: the items with the most recent events."""
