# Valkey as a cluster: TLS, one user with the programs' rights, and no eviction.
resource "aws_security_group" "redis" {
  name        = "${var.name}-redis"
  description = "Nodes of Valkey"
  vpc_id      = aws_vpc.this.id
  tags        = { Name = "${var.name}-redis" }
}

resource "aws_vpc_security_group_ingress_rule" "redis" {
  security_group_id            = aws_security_group.redis.id
  description                  = "Pods, by TLS"
  referenced_security_group_id = local.pods_security_group
  ip_protocol                  = "tcp"
  from_port                    = 6379
  to_port                      = 6379
}

resource "aws_elasticache_subnet_group" "this" {
  name       = var.name
  subnet_ids = aws_subnet.private[*].id
}

resource "aws_elasticache_parameter_group" "this" {
  name   = var.name
  family = "valkey${split(".", var.valkey_version)[0]}"

  parameter {
    name  = "cluster-enabled"
    value = "yes"
  }

  # An evicted count is lost: a failing write is better, as the workers retry it.
  parameter {
    name  = "maxmemory-policy"
    value = "noeviction"
  }
}

resource "aws_elasticache_user" "this" {
  user_id   = var.name
  user_name = "tickrec"
  engine    = "valkey"
  # Only keys and channels of the programs' namespace, whose default is live. Clients use INFO and
  # CLUSTER to identify the server.
  access_string = join(" ", [
    "on", "~live:*", "&live:*",
    "+@all", "-@admin", "-@dangerous", "+info", "+cluster|slots", "+cluster|shards",
  ])
  passwords_wo         = var.redis_password
  passwords_wo_version = var.passwords_version
}

resource "aws_elasticache_user_group" "this" {
  user_group_id = var.name
  engine        = "valkey"
  user_ids      = [aws_elasticache_user.this.user_id]
}

resource "aws_elasticache_replication_group" "this" {
  #checkov:skip=CKV_AWS_31:its user logs in with a password; a token would be a second way, with all rights
  replication_group_id = var.name
  description          = "What ${var.name} has counted, and its lists"

  engine               = "valkey"
  engine_version       = var.valkey_version
  node_type            = local.size.redis_node_type
  parameter_group_name = aws_elasticache_parameter_group.this.name

  cluster_mode               = "enabled"
  num_node_groups            = local.size.redis_shards
  replicas_per_node_group    = local.size.redis_replicas
  automatic_failover_enabled = true
  multi_az_enabled           = true

  subnet_group_name  = aws_elasticache_subnet_group.this.name
  security_group_ids = [aws_security_group.redis.id]

  transit_encryption_enabled = true
  transit_encryption_mode    = "required"
  at_rest_encryption_enabled = true
  kms_key_id                 = aws_kms_key.this["redis"].arn
  user_group_ids             = [aws_elasticache_user_group.this.user_group_id]

  snapshot_retention_limit = 7
  snapshot_window          = "02:00-03:00"
  maintenance_window       = "sun:03:30-sun:04:30"

  log_delivery_configuration {
    destination      = aws_cloudwatch_log_group.this["redis_slow"].name
    destination_type = "cloudwatch-logs"
    log_format       = "json"
    log_type         = "slow-log"
  }

  log_delivery_configuration {
    destination      = aws_cloudwatch_log_group.this["redis_engine"].name
    destination_type = "cloudwatch-logs"
    log_format       = "json"
    log_type         = "engine-log"
  }

  lifecycle {
    prevent_destroy = var.protected
  }
}

resource "aws_secretsmanager_secret" "redis_url" {
  #checkov:skip=CKV2_AWS_57:a password changes with passwords_version, and programs are restarted with it
  name        = "${var.name}/redis-url"
  description = "REDIS_URL of the programs"
  kms_key_id  = aws_kms_key.this["redis"].arn
}

resource "aws_secretsmanager_secret_version" "redis_url" {
  secret_id                = aws_secretsmanager_secret.redis_url.id
  secret_string_wo         = "rediss://tickrec:${var.redis_password}@${aws_elasticache_replication_group.this.configuration_endpoint_address}:6379/0"
  secret_string_wo_version = var.passwords_version
}
