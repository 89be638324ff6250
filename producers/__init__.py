"""Publishes quotes and interactions: simulated ones, or those of a file."""
