"""A partition's life: claimed in Redis, resumed in Kafka, folded, flushed, revoked."""
