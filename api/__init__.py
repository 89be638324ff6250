"""The HTTP layer: reads bars and lists from Redis, publishes events to Kafka."""
