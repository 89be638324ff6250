# A key per kind of data, so that access to one kind gives access to no other.
data "aws_caller_identity" "this" {}
data "aws_partition" "this" {}

locals {
  account = data.aws_caller_identity.this.account_id
  arn     = "arn:${data.aws_partition.this.partition}"

  keys = {
    archive    = "Files of the archive"
    kafka      = "Kafka's disks, and its password"
    redis      = "Redis's disks, and its password"
    kubernetes = "Secrets of Kubernetes"
    logs       = "Logs"
    alarms     = "Alarms, and the metrics that alerts go by"
  }

  # Services that use a key by its policy, not by a role's.
  key_users = {
    logs = [{
      Sid       = "CloudWatchForItsLogs"
      Effect    = "Allow"
      Principal = { Service = "logs.${var.region}.amazonaws.com" }
      Action    = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"]
      Resource  = "*"
      Condition = { ArnLike = { "kms:EncryptionContext:aws:logs:arn" = "${local.arn}:logs:${var.region}:${local.account}:*" } }
    }]
    alarms = [{
      Sid       = "AlarmsForTheirTopic"
      Effect    = "Allow"
      Principal = { Service = ["cloudwatch.amazonaws.com", "aps.amazonaws.com"] }
      Action    = ["kms:Decrypt", "kms:GenerateDataKey*"]
      Resource  = "*"
      Condition = { StringEquals = { "aws:SourceAccount" = local.account } }
    }]
  }
}

resource "aws_kms_key" "this" {
  for_each = local.keys

  description             = "${each.value}, of ${var.name}"
  enable_key_rotation     = true
  deletion_window_in_days = 30
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat([{
      Sid       = "RolesOfThisAccountByTheirPolicies"
      Effect    = "Allow"
      Principal = { AWS = "${local.arn}:iam::${local.account}:root" }
      Action    = "kms:*"
      Resource  = "*"
    }], lookup(local.key_users, each.key, []))
  })

  lifecycle {
    prevent_destroy = var.protected
  }
}

resource "aws_kms_alias" "this" {
  for_each = local.keys

  name          = "alias/${var.name}-${each.key}"
  target_key_id = aws_kms_key.this[each.key].key_id
}
