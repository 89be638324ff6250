"""Runs of the trainer: one at a time, from counts and histories to served generations."""
