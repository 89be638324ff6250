"""What the programs must agree on: topics, messages, keys and partitions.

Pure code: bytes and arrays in, the same out. Nothing here knows Kafka's or Redis's clients, the web
or the time.
"""
