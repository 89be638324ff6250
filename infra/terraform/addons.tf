# EKS add-ons of the cluster. AWS chooses the version that fits Kubernetes'.
locals {
  # By add-on that calls AWS: its service account and policy.
  addon_roles = {
    vpc-cni = {
      service_account = "aws-node"
      policy          = "AmazonEKS_CNI_Policy"
    }
    amazon-cloudwatch-observability = {
      service_account = "cloudwatch-agent"
      policy          = "CloudWatchAgentServerPolicy"
    }
  }
}

resource "aws_iam_role" "addon" {
  for_each = local.addon_roles

  name               = "${var.name}-${each.key}"
  assume_role_policy = local.pods_trust
}

resource "aws_iam_role_policy_attachment" "addon" {
  for_each = local.addon_roles

  role       = aws_iam_role.addon[each.key].name
  policy_arn = "${local.arn}:iam::aws:policy/${each.value.policy}"
}

# Assigns pods their addresses, and enforces the network policies of infra/kubernetes.
resource "aws_eks_addon" "network" {
  cluster_name         = aws_eks_cluster.this.name
  addon_name           = "vpc-cni"
  configuration_values = jsonencode({ enableNetworkPolicy = "true" })

  pod_identity_association {
    role_arn        = aws_iam_role.addon["vpc-cni"].arn
    service_account = local.addon_roles["vpc-cni"].service_account
  }
}

resource "aws_eks_addon" "pod_identity" {
  cluster_name = aws_eks_cluster.this.name
  addon_name   = "eks-pod-identity-agent"
}

resource "aws_eks_addon" "kube_proxy" {
  cluster_name = aws_eks_cluster.this.name
  addon_name   = "kube-proxy"
}

# These run on the machines, so they come after them. The autoscalers use metrics-server.
resource "aws_eks_addon" "on_nodes" {
  for_each = toset(["coredns", "metrics-server"])

  cluster_name = aws_eks_cluster.this.name
  addon_name   = each.value
  depends_on   = [aws_eks_node_group.this]
}

# Sends pods' output to the log group `applications`.
resource "aws_eks_addon" "logs" {
  cluster_name = aws_eks_cluster.this.name
  addon_name   = "amazon-cloudwatch-observability"

  pod_identity_association {
    role_arn        = aws_iam_role.addon["amazon-cloudwatch-observability"].arn
    service_account = local.addon_roles["amazon-cloudwatch-observability"].service_account
  }

  depends_on = [aws_eks_node_group.this, aws_cloudwatch_log_group.this]
}
