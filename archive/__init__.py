"""The log's memory: consumes topics of Kafka and writes them to Apache Iceberg tables.

Each valid record becomes a row exactly once: rows and the offsets that they cover take effect in
one commit (`runtime.archive.positions`).
"""
