"""A generation: its lists and report, all written to Redis before one pointer flips to it."""
