output "cluster_name" {
  description = "For `aws eks update-kubeconfig --name`."
  value       = aws_eks_cluster.this.name
}

output "kafka_bootstrap_servers" {
  description = "KAFKA_BOOTSTRAP_SERVERS: those that take SCRAM and TLS."
  value       = aws_msk_cluster.this.bootstrap_brokers_sasl_scram
}

output "kafka_secret" {
  description = "Name of the secret with Kafka's user and password."
  value       = aws_secretsmanager_secret.kafka.name
}

output "redis_url_secret" {
  description = "Name of the secret with REDIS_URL, the password in it."
  value       = aws_secretsmanager_secret.redis_url.name
}

output "archive_warehouse" {
  description = "Where the archive's tables keep their files."
  value       = "s3://${aws_s3_bucket.archive.id}/warehouse"
}

output "archive_database" {
  description = "Glue's database with the archive's tables."
  value       = aws_glue_catalog_database.archive.name
}

output "alarms_topic" {
  description = "SNS topic that alarms and alerts are published to."
  value       = aws_sns_topic.alarms.arn
}

output "kustomization" {
  description = "An overlay of infra/kubernetes for this cluster, to be written to infra/kubernetes/overlays/aws/kustomization.yaml."
  value = yamlencode({
    apiVersion = "kustomize.config.k8s.io/v1beta1"
    kind       = "Kustomization"
    resources  = ["../production"]
    configMapGenerator = [{
      name     = "tickrec"
      behavior = "merge"
      literals = [
        "KAFKA_BOOTSTRAP_SERVERS=${aws_msk_cluster.this.bootstrap_brokers_sasl_scram}",
        "KAFKA_SECURITY_PROTOCOL=SASL_SSL",
        "KAFKA_SASL_MECHANISM=SCRAM-SHA-512",
        "ARCHIVE_CATALOG=glue",
        "ARCHIVE_WAREHOUSE=s3://${aws_s3_bucket.archive.id}/warehouse",
        "ARCHIVE_NAMESPACE=${aws_glue_catalog_database.archive.name}",
        "ARCHIVE_S3_REGION=${var.region}",
        "AWS_DEFAULT_REGION=${var.region}",
      ]
    }]
    patches = concat(
      # The Prometheus that AWS runs has the rules and targets; there is no operator for these.
      [for kind in ["PodMonitor", "PrometheusRule"] : {
        target = { kind = kind }
        patch = yamlencode({
          "$patch"   = "delete"
          apiVersion = "monitoring.coreos.com/v1"
          kind       = kind
          metadata   = { name = "every" }
        })
      }],
      # It scrapes from outside the cluster.
      [{
        target = { kind = "NetworkPolicy", name = "ask-for-metrics" }
        patch  = yamlencode([{ op = "add", path = "/spec/ingress/0/from/-", value = { ipBlock = { cidr = var.vpc_cidr } } }])
      }],
    )
  })
}
