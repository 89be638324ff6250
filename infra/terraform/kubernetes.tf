# EKS: the cluster, its machines, and what runs in it besides the programs of infra/kubernetes.
locals {
  # The security group of EKS's machines, and thereby of the pods on them.
  pods_security_group = aws_eks_cluster.this.vpc_config[0].cluster_security_group_id

  # The service that assumes a pod's role.
  pods_trust = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "pods.eks.amazonaws.com" }
      Action    = ["sts:AssumeRole", "sts:TagSession"]
      Condition = { StringEquals = { "aws:SourceAccount" = local.account } }
    }]
  })
}

resource "aws_eks_cluster" "this" {
  #checkov:skip=CKV_AWS_39:closed unless kubernetes_api_cidrs names networks
  #checkov:skip=CKV_AWS_38:kubernetes_api_cidrs refuses 0.0.0.0/0
  name                          = var.name
  version                       = var.kubernetes_version
  role_arn                      = aws_iam_role.kubernetes.arn
  bootstrap_self_managed_addons = false
  deletion_protection           = var.protected
  enabled_cluster_log_types     = ["api", "audit", "authenticator", "controllerManager", "scheduler"]

  access_config {
    authentication_mode                         = "API"
    bootstrap_cluster_creator_admin_permissions = false
  }

  encryption_config {
    resources = ["secrets"]

    provider {
      key_arn = aws_kms_key.this["kubernetes"].arn
    }
  }

  vpc_config {
    subnet_ids              = aws_subnet.private[*].id
    endpoint_private_access = true
    endpoint_public_access  = length(var.kubernetes_api_cidrs) > 0
    public_access_cidrs     = length(var.kubernetes_api_cidrs) > 0 ? var.kubernetes_api_cidrs : null
  }

  depends_on = [aws_iam_role_policy_attachment.kubernetes, aws_cloudwatch_log_group.this]
}

resource "aws_iam_role" "kubernetes" {
  name = "${var.name}-kubernetes"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "eks.amazonaws.com" }
      Action    = "sts:AssumeRole"
    }]
  })
}

resource "aws_iam_role_policy_attachment" "kubernetes" {
  role       = aws_iam_role.kubernetes.name
  policy_arn = "${local.arn}:iam::aws:policy/AmazonEKSClusterPolicy"
}

resource "aws_eks_access_entry" "admin" {
  for_each = var.admin_role_arns

  cluster_name  = aws_eks_cluster.this.name
  principal_arn = each.value
}

resource "aws_eks_access_policy_association" "admin" {
  for_each = var.admin_role_arns

  cluster_name  = aws_eks_cluster.this.name
  principal_arn = aws_eks_access_entry.admin[each.value].principal_arn
  policy_arn    = "${local.arn}:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy"

  access_scope {
    type = "cluster"
  }
}
