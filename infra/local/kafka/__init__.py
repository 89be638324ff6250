"""Apache Kafka from Maven's jars: no download page, no container, only Java and Maven."""
