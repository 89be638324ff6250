# Storage of the archive: Iceberg tables, with their files in S3 and their names in Glue.
resource "aws_s3_bucket" "archive" {
  #checkov:skip=CKV_AWS_144:Kafka and three zones of S3 have it; a second region is a decision of its own
  #checkov:skip=CKV_AWS_18:one role writes it and one reads it; who did what is CloudTrail's to say
  #checkov:skip=CKV2_AWS_62:nothing waits for files: a table's metadata names those that count
  bucket = "${var.name}-archive-${local.account}-${var.region}"

  lifecycle {
    prevent_destroy = var.protected
  }
}

resource "aws_s3_bucket_public_access_block" "archive" {
  bucket                  = aws_s3_bucket.archive.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "archive" {
  bucket = aws_s3_bucket.archive.id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "archive" {
  bucket = aws_s3_bucket.archive.id

  rule {
    bucket_key_enabled = true

    apply_server_side_encryption_by_default {
      sse_algorithm     = "aws:kms"
      kms_master_key_id = aws_kms_key.this["archive"].arn
    }
  }
}

resource "aws_s3_bucket_versioning" "archive" {
  bucket = aws_s3_bucket.archive.id

  versioning_configuration {
    status = "Enabled"
  }
}

# A user erased from the archive is permanently gone this many days later.
resource "aws_s3_bucket_lifecycle_configuration" "archive" {
  bucket = aws_s3_bucket.archive.id

  rule {
    id     = "what-was-deleted"
    status = "Enabled"

    filter {}

    noncurrent_version_expiration {
      noncurrent_days = 30
    }

    abort_incomplete_multipart_upload {
      days_after_initiation = 7
    }

    expiration {
      expired_object_delete_marker = true
    }
  }

  depends_on = [aws_s3_bucket_versioning.archive]
}

resource "aws_s3_bucket_policy" "archive" {
  bucket = aws_s3_bucket.archive.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "NobodyWithoutTls"
      Effect    = "Deny"
      Principal = "*"
      Action    = "s3:*"
      Resource  = [aws_s3_bucket.archive.arn, "${aws_s3_bucket.archive.arn}/*"]
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
    }]
  })

  depends_on = [aws_s3_bucket_public_access_block.archive]
}

resource "aws_glue_catalog_database" "archive" {
  name         = replace(var.name, "-", "_")
  description  = "Tables of the archive of ${var.name}"
  location_uri = "s3://${aws_s3_bucket.archive.id}/warehouse"

  lifecycle {
    prevent_destroy = var.protected
  }
}

# The writer and the reader of the archive run as these service accounts, which infra/kubernetes
# assigns to the archive and to the API.
locals {
  archive_files  = "${aws_s3_bucket.archive.arn}/warehouse"
  archive_tables = "${local.arn}:glue:${var.region}:${local.account}:table/${aws_glue_catalog_database.archive.name}"
  # Glue also requires rights to the table's database and catalog.
  archive_catalog = [
    "${local.arn}:glue:${var.region}:${local.account}:catalog",
    aws_glue_catalog_database.archive.arn,
  ]
}

resource "aws_iam_role" "archive" {
  name               = "${var.name}-archive"
  assume_role_policy = local.pods_trust
}

resource "aws_eks_pod_identity_association" "archive" {
  cluster_name    = aws_eks_cluster.this.name
  namespace       = "tickrec"
  service_account = "archive"
  role_arn        = aws_iam_role.archive.arn
}

resource "aws_iam_role_policy" "archive" {
  name = "tables"
  role = aws_iam_role.archive.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "Files"
        Effect   = "Allow"
        Action   = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"]
        Resource = "${local.archive_files}/*"
      },
      {
        Sid       = "TheirNames"
        Effect    = "Allow"
        Action    = "s3:ListBucket"
        Resource  = aws_s3_bucket.archive.arn
        Condition = { StringLike = { "s3:prefix" = ["warehouse/*"] } }
      },
      {
        Sid    = "Tables"
        Effect = "Allow"
        Action = [
          "glue:GetDatabase", "glue:GetTable", "glue:GetTables",
          "glue:CreateTable", "glue:UpdateTable", "glue:DeleteTable",
        ]
        Resource = concat(local.archive_catalog, ["${local.archive_tables}/*"])
      },
      {
        Sid       = "Encryption"
        Effect    = "Allow"
        Action    = ["kms:Decrypt", "kms:GenerateDataKey"]
        Resource  = aws_kms_key.this["archive"].arn
        Condition = { StringEquals = { "kms:ViaService" = "s3.${var.region}.amazonaws.com" } }
      },
    ]
  })
}

resource "aws_iam_role" "api" {
  name               = "${var.name}-api"
  assume_role_policy = local.pods_trust
}

resource "aws_eks_pod_identity_association" "api" {
  cluster_name    = aws_eks_cluster.this.name
  namespace       = "tickrec"
  service_account = "api"
  role_arn        = aws_iam_role.api.arn
}

# It reads only bars: interactions and feedback are personal data.
resource "aws_iam_role_policy" "api" {
  name = "read-bars"
  role = aws_iam_role.api.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "Files"
        Effect   = "Allow"
        Action   = "s3:GetObject"
        Resource = "${local.archive_files}/bars/*"
      },
      {
        Sid       = "TheirNames"
        Effect    = "Allow"
        Action    = "s3:ListBucket"
        Resource  = aws_s3_bucket.archive.arn
        Condition = { StringLike = { "s3:prefix" = ["warehouse/bars/*"] } }
      },
      {
        Sid      = "Table"
        Effect   = "Allow"
        Action   = "glue:GetTable"
        Resource = concat(local.archive_catalog, ["${local.archive_tables}/bars"])
      },
      {
        Sid       = "Encryption"
        Effect    = "Allow"
        Action    = "kms:Decrypt"
        Resource  = aws_kms_key.this["archive"].arn
        Condition = { StringEquals = { "kms:ViaService" = "s3.${var.region}.amazonaws.com" } }
      },
    ]
  })
}
