"""Publishes feedback on recommendations to Kafka."""
