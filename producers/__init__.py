"""Publishes quotes, interactions and instruments, simulated or from a file."""
