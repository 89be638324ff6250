"""A generation: its lists and its report, written to Redis whole before one pointer flips to it."""
