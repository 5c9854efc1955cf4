# The bucket, its lifecycle rules, and the policies of imgctl: the actions are those of docs/operations/permissions.md.
terraform {
  required_version = ">= 1.5"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.60"
    }
  }
}

resource "aws_s3_bucket" "photos" {
  bucket = var.bucket
}

resource "aws_s3_bucket_public_access_block" "photos" {
  bucket                  = aws_s3_bucket.photos.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_versioning" "photos" {
  bucket = aws_s3_bucket.photos.id
  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "photos" {
  bucket = aws_s3_bucket.photos.id
  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm = "AES256"
    }
  }
}

# `imgctl transition` archives originals, because it waits for their variants; a rule by age would not.
resource "aws_s3_bucket_lifecycle_configuration" "photos" {
  bucket = aws_s3_bucket.photos.id

  rule {
    id     = "broken-uploads"
    status = "Enabled"
    filter {}
    abort_incomplete_multipart_upload {
      days_after_initiation = 7
    }
  }

  rule {
    id     = "old-versions"
    status = "Enabled"
    filter {}
    noncurrent_version_expiration {
      noncurrent_days = var.keep_versions_days
    }
  }
}

data "aws_iam_policy_document" "imgctl" {
  statement {
    sid       = "Objects"
    actions   = ["s3:PutObject", "s3:GetObject", "s3:AbortMultipartUpload"]
    resources = ["${aws_s3_bucket.photos.arn}/${var.prefix}*"]
  }

  statement {
    sid       = "Check"
    actions   = ["s3:DeleteObject"]
    resources = ["${aws_s3_bucket.photos.arn}/${var.prefix}.imgctl-check/*"]
  }

  statement {
    sid       = "List"
    actions   = ["s3:ListBucket"]
    resources = [aws_s3_bucket.photos.arn]
  }
}

# For roles that run `transition` and `restore`.
data "aws_iam_policy_document" "cold" {
  statement {
    sid       = "Cold"
    actions   = ["s3:GetObjectTagging", "s3:PutObjectTagging", "s3:RestoreObject"]
    resources = ["${aws_s3_bucket.photos.arn}/${var.prefix}*"]
  }

  statement {
    sid       = "Versioning"
    actions   = ["s3:GetBucketVersioning"]
    resources = [aws_s3_bucket.photos.arn]
  }
}

resource "aws_iam_policy" "imgctl" {
  name   = "${var.name}-work"
  policy = data.aws_iam_policy_document.imgctl.json
}

resource "aws_iam_policy" "cold" {
  name   = "${var.name}-cold"
  policy = data.aws_iam_policy_document.cold.json
}
