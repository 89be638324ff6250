# Tests the configuration with mocked AWS responses: nothing is created.
mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
  mock_resource "aws_msk_cluster" {
    defaults = { bootstrap_brokers_sasl_scram = "b-1.example:9096,b-2.example:9096,b-3.example:9096" }
  }
  mock_resource "aws_elasticache_replication_group" {
    defaults = { configuration_endpoint_address = "clustercfg.tickrec.example" }
  }
}

variables {
  region          = "eu-central-1"
  zones           = ["eu-central-1a", "eu-central-1b", "eu-central-1c"]
  admin_role_arns = ["arn:aws:iam::123456789012:role/platform"]
  kafka_password  = "0123456789abcdef-kafka"
  redis_password  = "0123456789abcdef-redis"
  # A run's resources are destroyed after it.
  protected = false
}

run "small" {
  assert {
    condition     = length(distinct(concat(aws_subnet.public[*].cidr_block, aws_subnet.private[*].cidr_block))) == 6
    error_message = "Six subnets need six different networks."
  }
  assert {
    condition     = length(aws_nat_gateway.this) == 1 && aws_msk_cluster.this.number_of_broker_nodes == 3
    error_message = "small has one NAT gateway and a broker in each zone."
  }
  assert {
    condition = (
      aws_msk_cluster.this.encryption_info[0].encryption_in_transit[0].client_broker == "TLS"
      && aws_msk_cluster.this.client_authentication[0].sasl[0].scram
      && !aws_msk_cluster.this.client_authentication[0].unauthenticated
    )
    error_message = "Kafka must take TLS only, and nobody who has not logged in."
  }
  assert {
    condition     = one(aws_vpc_security_group_ingress_rule.kafka[*].from_port) == 9096
    error_message = "SCRAM has a port of its own."
  }
  assert {
    condition = (
      aws_elasticache_replication_group.this.transit_encryption_mode == "required"
      && aws_elasticache_replication_group.this.automatic_failover_enabled
      && aws_elasticache_replication_group.this.multi_az_enabled
    )
    error_message = "Redis must take TLS only, and survive the loss of a zone."
  }
  assert {
    condition     = contains([for p in aws_elasticache_parameter_group.this.parameter : "${p.name}=${p.value}"], "maxmemory-policy=noeviction")
    error_message = "What is evicted is lost."
  }
  assert {
    condition     = !aws_eks_cluster.this.vpc_config[0].endpoint_public_access
    error_message = "The Kubernetes API must not be reachable from outside unless networks are named."
  }
}

run "its_outputs_feed_the_overlay" {
  assert {
    condition = toset(yamldecode(output.kustomization).configMapGenerator[0].literals) == toset([
      "KAFKA_BOOTSTRAP_SERVERS=b-1.example:9096,b-2.example:9096,b-3.example:9096",
      "KAFKA_SECURITY_PROTOCOL=SASL_SSL",
      "KAFKA_SASL_MECHANISM=SCRAM-SHA-512",
      "ARCHIVE_CATALOG=glue",
      "ARCHIVE_WAREHOUSE=${output.archive_warehouse}",
      "ARCHIVE_NAMESPACE=${output.archive_database}",
      "ARCHIVE_S3_REGION=eu-central-1",
      "AWS_DEFAULT_REGION=eu-central-1",
    ])
    error_message = "The overlay must name Kafka's brokers, how to log in, and where the archive is."
  }
  assert {
    condition     = strcontains(output.kustomization, "10.60.0.0/16")
    error_message = "The scraper asks for metrics from the network's addresses."
  }
  assert {
    condition     = output.archive_warehouse == "s3://${aws_s3_bucket.archive.id}/warehouse"
    error_message = "The archive's files are below warehouse/, which is what its role may touch."
  }
}

run "every_alert_and_every_machine_is_watched" {
  assert {
    condition     = aws_prometheus_rule_group_namespace.this["alerts"].data == file("../prometheus/alerts.yml")
    error_message = "The alerts' one home is infra/prometheus/alerts.yml."
  }
  assert {
    condition     = strcontains(aws_prometheus_alert_manager_definition.this.definition, aws_sns_topic.alarms.arn)
    error_message = "Alerts must reach the topic."
  }
  assert {
    condition     = length(aws_cloudwatch_metric_alarm.this) == 2 + 3 * 3 + 3 * 2
    error_message = "2 alarms for Kafka, 3 for each broker, 3 for each node of Redis."
  }
  assert {
    condition     = aws_cloudwatch_metric_alarm.this["redis-memory-tickrec-0001-002"].dimensions == tomap({ CacheClusterId = "tickrec-0001-002" })
    error_message = "A node of Redis is named by its shard and its place in it."
  }
  assert {
    condition     = alltrue([for group in aws_cloudwatch_log_group.this : group.retention_in_days == 365 && group.kms_key_id == aws_kms_key.this["logs"].arn])
    error_message = "Logs are encrypted, and end."
  }
  assert {
    condition = toset([
      for name, alarm in aws_cloudwatch_metric_alarm.this : name if alarm.treat_missing_data == "breaching"
      ]) == toset(concat(
      ["kafka-controller-cluster"],
      [for broker in range(1, 4) : "kafka-replication-${broker}"],
      [for node in ["tickrec-0001-001", "tickrec-0001-002"] : "redis-memory-${node}"],
    ))
    error_message = "A cluster, a broker or a node that reports nothing is one alarm."
  }
}

run "roles_may_do_no_more_than_they_need" {
  # Mocked, all roles would be the same.
  override_resource {
    target = aws_iam_role.archive
    values = { id = "tickrec-archive", arn = "arn:aws:iam::123456789012:role/tickrec-archive" }
  }
  override_resource {
    target = aws_iam_role.api
    values = { id = "tickrec-api", arn = "arn:aws:iam::123456789012:role/tickrec-api" }
  }

  assert {
    condition = alltrue(flatten([
      for policy in [aws_iam_role_policy.archive.policy, aws_iam_role_policy.api.policy] : [
        for statement in jsondecode(policy).Statement : [
          for action in flatten([statement.Action]) : !strcontains(action, "*")
        ]
      ]
    ]))
    error_message = "The roles of the archive and of the API name each action."
  }
  assert {
    condition = alltrue(flatten([
      for policy in [aws_iam_role_policy.archive.policy, aws_iam_role_policy.api.policy] : [
        for statement in jsondecode(policy).Statement : [
          for resource in flatten([statement.Resource]) : resource != "*"
        ]
      ]
    ]))
    error_message = "The roles of the archive and of the API name what they act on."
  }
  assert {
    condition = toset(flatten([
      for statement in jsondecode(aws_iam_role_policy.api.policy).Statement : statement.Action
      ])) == toset([
      "s3:GetObject", "s3:ListBucket", "glue:GetTable", "kms:Decrypt",
    ])
    error_message = "The API reads the archive, and writes nothing to it."
  }
  assert {
    condition = toset(flatten([
      for statement in jsondecode(aws_iam_role_policy.api.policy).Statement : statement.Resource
      ])) == toset([
      aws_s3_bucket.archive.arn,
      "${aws_s3_bucket.archive.arn}/warehouse/bars/*",
      "arn:aws:glue:eu-central-1:123456789012:catalog",
      aws_glue_catalog_database.archive.arn,
      "arn:aws:glue:eu-central-1:123456789012:table/tickrec/bars",
      aws_kms_key.this["archive"].arn,
    ])
    error_message = "The API reads the table of bars, and no other."
  }
  assert {
    condition = (
      aws_iam_role_policy.archive.role == aws_iam_role.archive.id
      && aws_iam_role_policy.api.role == aws_iam_role.api.id
      && aws_eks_pod_identity_association.archive.role_arn == aws_iam_role.archive.arn
      && aws_eks_pod_identity_association.api.role_arn == aws_iam_role.api.arn
    )
    error_message = "Each service account has the role of its name, and the role its policy."
  }
  assert {
    condition     = strcontains(aws_elasticache_user.this.access_string, "~live:*") && !strcontains(aws_elasticache_user.this.access_string, "~* ")
    error_message = "The programs' user of Redis touches keys of the namespace only."
  }
}

run "large" {
  variables {
    size        = "large"
    name        = "shop"
    alarm_email = "oncall@example.com"
  }
  assert {
    condition     = aws_msk_cluster.this.number_of_broker_nodes == 6 && length(aws_nat_gateway.this) == 3
    error_message = "large has two brokers and a NAT gateway in each zone."
  }
  assert {
    condition     = length(aws_cloudwatch_metric_alarm.this) == 2 + 3 * 6 + 3 * 24
    error_message = "12 shards of two nodes are 24 nodes to watch."
  }
  assert {
    condition     = one(aws_sns_topic_subscription.alarms[*].endpoint) == "oncall@example.com"
    error_message = "The given address is notified."
  }
}
