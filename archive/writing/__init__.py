"""From rows to a snapshot: gathered, sorted, written to files, committed with their offsets."""
