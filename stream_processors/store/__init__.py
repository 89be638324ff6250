"""Redis as the workers' memory: fenced claims, flushes in chunks, marks against replays."""
