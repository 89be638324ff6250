"""Publishes quotes, interactions and instruments: simulated ones, or those of a file."""
