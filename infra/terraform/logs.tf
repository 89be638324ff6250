# Created here and not by the services that write to them, which would keep them forever and
# unencrypted.
resource "aws_cloudwatch_log_group" "this" {
  for_each = {
    kubernetes   = "/aws/eks/${var.name}/cluster"
    applications = "/aws/containerinsights/${var.name}/application"
    hosts        = "/aws/containerinsights/${var.name}/host"
    dataplane    = "/aws/containerinsights/${var.name}/dataplane"
    performance  = "/aws/containerinsights/${var.name}/performance"
    kafka        = "/${var.name}/kafka"
    redis_slow   = "/${var.name}/redis/slow"
    redis_engine = "/${var.name}/redis/engine"
    prometheus   = "/aws/vendedlogs/prometheus/${var.name}"
    flows        = "/${var.name}/flows"
  }

  name              = each.value
  kms_key_id        = aws_kms_key.this["logs"].arn
  retention_in_days = var.log_retention_days
}
