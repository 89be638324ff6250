"""Runs of the real programs, on servers of their own, and the unit costs that explain them."""
