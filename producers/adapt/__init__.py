"""Publishes records of other topics, in other formats, as quotes, interactions and instruments."""
