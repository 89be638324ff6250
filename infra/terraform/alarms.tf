# Alarms of the services that AWS runs, and the topic that notifies people.
resource "aws_sns_topic" "alarms" {
  name              = "${var.name}-alarms"
  kms_master_key_id = aws_kms_key.this["alarms"].arn
}

resource "aws_sns_topic_policy" "alarms" {
  arn = aws_sns_topic.alarms.arn
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "AlarmsOfThisAccount"
      Effect    = "Allow"
      Principal = { Service = ["cloudwatch.amazonaws.com", "aps.amazonaws.com"] }
      Action    = ["sns:Publish", "sns:GetTopicAttributes"]
      Resource  = aws_sns_topic.alarms.arn
      Condition = { StringEquals = { "aws:SourceAccount" = local.account } }
    }]
  })
}

resource "aws_sns_topic_subscription" "alarms" {
  count = var.alarm_email == null ? 0 : 1

  topic_arn = aws_sns_topic.alarms.arn
  protocol  = "email"
  endpoint  = var.alarm_email
}

locals {
  brokers = { for id in range(1, local.kafka_brokers + 1) : id => { "Cluster Name" = var.name, "Broker ID" = tostring(id) } }
  nodes   = { for id in local.redis_nodes : id => { CacheClusterId = id } }

  # `of` is what each alarm is set for, once each. Missing data means an outage: one alarm of the
  # cluster, of each broker and of each node fires then, by `silent` = "breaching"; all others keep
  # their state.
  watched = {
    kafka-controller = {
      namespace = "AWS/Kafka", metric = "ActiveControllerCount", statistic = "Maximum"
      operator  = "LessThanThreshold", threshold = 1, minutes = 5
      silent    = "breaching"
      means     = "no broker is the controller: topics and leaders cannot change"
      of        = { cluster = { "Cluster Name" = var.name } }
    }
    kafka-offline-partitions = {
      namespace = "AWS/Kafka", metric = "OfflinePartitionsCount", statistic = "Maximum"
      operator  = "GreaterThanThreshold", threshold = 0, minutes = 5
      silent    = "ignore"
      means     = "partitions without a leader: their records can be neither written nor read"
      of        = { cluster = { "Cluster Name" = var.name } }
    }
    kafka-replication = {
      namespace = "AWS/Kafka", metric = "UnderReplicatedPartitions", statistic = "Maximum"
      operator  = "GreaterThanThreshold", threshold = 0, minutes = 15
      silent    = "breaching"
      means     = "copies of this broker's partitions are behind; one more loss may stop writes"
      of        = local.brokers
    }
    kafka-disk = {
      namespace = "AWS/Kafka", metric = "KafkaDataLogsDiskUsed", statistic = "Maximum"
      operator  = "GreaterThanThreshold", threshold = 80, minutes = 5
      silent    = "ignore"
      means     = "percent of the broker's disk: give it more, or keep records for less long"
      of        = local.brokers
    }
    kafka-cpu = {
      namespace = "AWS/Kafka", metric = "CpuUser", statistic = "Average"
      operator  = "GreaterThanThreshold", threshold = 60, minutes = 15
      silent    = "ignore"
      means     = "percent of the broker's processors: above this the loss of another one is not borne"
      of        = local.brokers
    }
    redis-memory = {
      namespace = "AWS/ElastiCache", metric = "DatabaseMemoryUsagePercentage", statistic = "Maximum"
      operator  = "GreaterThanThreshold", threshold = 80, minutes = 5
      silent    = "breaching"
      means     = "percent of the node's memory: when it is full, writes fail and workers wait; add shards"
      of        = local.nodes
    }
    redis-cpu = {
      namespace = "AWS/ElastiCache", metric = "EngineCPUUtilization", statistic = "Average"
      operator  = "GreaterThanThreshold", threshold = 80, minutes = 10
      silent    = "ignore"
      means     = "percent of the one core that answers: reads get slow; add shards"
      of        = local.nodes
    }
    redis-evictions = {
      namespace = "AWS/ElastiCache", metric = "Evictions", statistic = "Sum"
      operator  = "GreaterThanThreshold", threshold = 0, minutes = 5
      silent    = "ignore"
      means     = "counts were thrown away: maxmemory-policy is not noeviction any more"
      of        = local.nodes
    }
  }
  alarms = merge([
    for name, what in local.watched : { for id, dimensions in what.of : "${name}-${id}" => merge(what, { dimensions = dimensions }) }
  ]...)
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each = local.alarms

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.means
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  dimensions          = each.value.dimensions
  statistic           = each.value.statistic
  comparison_operator = each.value.operator
  threshold           = each.value.threshold
  period              = 60
  evaluation_periods  = each.value.minutes
  treat_missing_data  = each.value.silent
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]
}
