# The programs' own alerts. Prometheus' rules are the only source: a Prometheus that AWS runs uses
# the file unchanged, scrapes every pod that asks for it, and notifies the topic.
resource "aws_prometheus_workspace" "this" {
  alias       = var.name
  kms_key_arn = aws_kms_key.this["alarms"].arn

  logging_configuration {
    log_group_arn = "${aws_cloudwatch_log_group.this["prometheus"].arn}:*"
  }
}

resource "aws_prometheus_rule_group_namespace" "this" {
  for_each = toset(["alerts", "click_through"])

  name         = each.value
  workspace_id = aws_prometheus_workspace.this.id
  data         = file("${path.module}/../prometheus/${each.value}.yml")
}

resource "aws_prometheus_scraper" "this" {
  alias                = var.name
  scrape_configuration = file("${path.module}/scrape.yml")

  source {
    eks {
      cluster_arn        = aws_eks_cluster.this.arn
      subnet_ids         = aws_subnet.private[*].id
      security_group_ids = [local.pods_security_group]
    }
  }

  destination {
    amp {
      workspace_arn = aws_prometheus_workspace.this.arn
    }
  }
}

resource "aws_prometheus_alert_manager_definition" "this" {
  workspace_id = aws_prometheus_workspace.this.id
  definition = yamlencode({
    alertmanager_config = yamlencode({
      route = { receiver = "topic", group_by = ["alertname"] }
      receivers = [{
        name = "topic"
        sns_configs = [{
          topic_arn = aws_sns_topic.alarms.arn
          sigv4     = { region = var.region }
        }]
      }]
    })
  })
  depends_on = [aws_sns_topic_policy.alarms]
}
