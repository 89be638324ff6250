"""Answers to the hot reads over HTTP, against FastAPI and redis-py on the same data."""
