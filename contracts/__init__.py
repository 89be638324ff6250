"""What the programs must agree on: topics, messages, keys and partitions.

Pure code: bytes and arrays in, bytes and arrays out. Nothing here uses a client of Kafka or Redis,
HTTP, or a clock.
"""
