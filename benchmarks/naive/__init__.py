"""The baseline of `reads`: the same answers from FastAPI and redis-py, by the book."""
