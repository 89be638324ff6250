"""From records in Kafka to rows: the consumer group, where partitions begin, what a row is."""
