"""Publishes files of events of any length."""
