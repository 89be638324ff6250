# How many machines of which kind. docs/aws.md derives the costs from these.
locals {
  sizes = {
    small = {
      kafka_brokers_per_zone = 1
      kafka_broker_type      = "kafka.m7g.large"
      kafka_disk_gib         = 100
      redis_shards           = 1
      redis_replicas         = 1
      redis_node_type        = "cache.r7g.large"
      node_type              = "m7i.xlarge"
      nodes_min              = 3
      nodes_max              = 6
      nat_gateways           = 1
    }
    medium = {
      kafka_brokers_per_zone = 1
      kafka_broker_type      = "kafka.m7g.xlarge"
      kafka_disk_gib         = 500
      redis_shards           = 3
      redis_replicas         = 1
      redis_node_type        = "cache.r7g.xlarge"
      node_type              = "m7i.xlarge"
      nodes_min              = 3
      nodes_max              = 12
      nat_gateways           = 3
    }
    large = {
      kafka_brokers_per_zone = 2
      kafka_broker_type      = "kafka.m7g.4xlarge"
      kafka_disk_gib         = 2000
      redis_shards           = 12
      redis_replicas         = 1
      redis_node_type        = "cache.r7g.2xlarge"
      node_type              = "m7i.2xlarge"
      nodes_min              = 6
      nodes_max              = 40
      nat_gateways           = 3
    }
  }
  size = local.sizes[var.size]

  kafka_brokers = local.size.kafka_brokers_per_zone * length(var.zones)
  # ElastiCache names the nodes of a replication group by shard and index.
  redis_nodes = [
    for place in setproduct(range(1, local.size.redis_shards + 1), range(1, local.size.redis_replicas + 2)) :
    format("%s-%04d-%03d", var.name, place[0], place[1])
  ]
}
