"""Runs of what exists, on servers of their own, and the unit costs that explain them."""
