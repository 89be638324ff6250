"""Publishes quotes and interactions to Kafka."""
