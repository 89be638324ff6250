"""Publish quotes and interactions to Kafka: simulated, or replayed from a file."""
