"""Applies changes of the Gram matrix to its rows in Redis."""
