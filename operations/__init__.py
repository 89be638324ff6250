"""Operators' commands: topics, dead letters, and copies of topics."""
