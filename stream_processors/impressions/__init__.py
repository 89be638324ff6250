"""Folds feedback into how often users were shown items without a click."""
