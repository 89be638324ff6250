"""Training: counts in Redis to published lists, against the clock."""
