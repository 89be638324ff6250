# Kafka: three copies of each record, TLS everywhere, and one user who logs in by SCRAM-SHA-512.
resource "aws_security_group" "kafka" {
  name        = "${var.name}-kafka"
  description = "Brokers of Kafka"
  vpc_id      = aws_vpc.this.id
  tags        = { Name = "${var.name}-kafka" }
}

resource "aws_vpc_security_group_ingress_rule" "kafka" {
  security_group_id            = aws_security_group.kafka.id
  description                  = "Pods, by SASL and TLS"
  referenced_security_group_id = local.pods_security_group
  ip_protocol                  = "tcp"
  from_port                    = 9096
  to_port                      = 9096
}

resource "aws_msk_configuration" "this" {
  name           = var.name
  kafka_versions = [var.kafka_version]
  # `python -m operations.topics` creates the topics, with their own retention.
  server_properties = join("\n", [
    "auto.create.topics.enable=false",
    "default.replication.factor=3",
    "min.insync.replicas=2",
    "unclean.leader.election.enable=false",
    "allow.everyone.if.no.acl.found=true",
  ])

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_msk_cluster" "this" {
  cluster_name           = var.name
  kafka_version          = var.kafka_version
  number_of_broker_nodes = local.kafka_brokers
  enhanced_monitoring    = "PER_BROKER"

  broker_node_group_info {
    instance_type   = local.size.kafka_broker_type
    client_subnets  = aws_subnet.private[*].id
    security_groups = [aws_security_group.kafka.id]

    storage_info {
      ebs_storage_info {
        volume_size = local.size.kafka_disk_gib
      }
    }
  }

  configuration_info {
    arn      = aws_msk_configuration.this.arn
    revision = aws_msk_configuration.this.latest_revision
  }

  client_authentication {
    unauthenticated = false

    sasl {
      scram = true
    }
  }

  encryption_info {
    encryption_at_rest_kms_key_arn = aws_kms_key.this["kafka"].arn

    encryption_in_transit {
      client_broker = "TLS"
      in_cluster    = true
    }
  }

  logging_info {
    broker_logs {
      cloudwatch_logs {
        enabled   = true
        log_group = aws_cloudwatch_log_group.this["kafka"].name
      }
    }
  }

  lifecycle {
    prevent_destroy = var.protected
  }
}

# MSK accepts only secrets with this name prefix, and only a customer-managed key.
resource "aws_secretsmanager_secret" "kafka" {
  #checkov:skip=CKV2_AWS_57:a password changes with passwords_version, and programs are restarted with it
  name        = "AmazonMSK_${var.name}"
  description = "User and password of Kafka"
  kms_key_id  = aws_kms_key.this["kafka"].arn
}

resource "aws_secretsmanager_secret_version" "kafka" {
  secret_id                = aws_secretsmanager_secret.kafka.id
  secret_string_wo         = jsonencode({ username = "tickrec", password = var.kafka_password })
  secret_string_wo_version = var.passwords_version
}

resource "aws_secretsmanager_secret_policy" "kafka" {
  secret_arn = aws_secretsmanager_secret.kafka.arn
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "BrokersWhoCheckIt"
      Effect    = "Allow"
      Principal = { Service = "kafka.amazonaws.com" }
      Action    = "secretsmanager:GetSecretValue"
      Resource  = aws_secretsmanager_secret.kafka.arn
      Condition = { StringEquals = { "aws:SourceAccount" = local.account } }
    }]
  })
}

resource "aws_msk_scram_secret_association" "this" {
  cluster_arn     = aws_msk_cluster.this.arn
  secret_arn_list = [aws_secretsmanager_secret.kafka.arn]
  depends_on      = [aws_secretsmanager_secret_version.kafka, aws_secretsmanager_secret_policy.kafka]
}
