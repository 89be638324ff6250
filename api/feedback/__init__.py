"""What became of recommendations, into Kafka."""
