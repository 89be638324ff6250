"""The log's memory: consumes topics of Kafka and writes them to Apache Iceberg tables.

Each record that keeps its topic's rules is a row exactly once: rows and the offsets that they
cover come into force in one commit (`runtime.archive.positions`).
"""
