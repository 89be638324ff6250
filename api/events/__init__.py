"""Quotes and interactions, into Kafka."""
