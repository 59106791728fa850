# Two buckets: invoices, and what mails and invoices are made from.

locals {
  buckets = { for what in ["orders", "templates"] : what => local.names[what] }
}

resource "aws_s3_bucket" "all" {
  for_each = local.buckets

  bucket        = each.value
  force_destroy = false
}

resource "aws_s3_bucket_public_access_block" "all" {
  for_each = aws_s3_bucket.all

  bucket                  = each.value.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "all" {
  for_each = aws_s3_bucket.all

  bucket = each.value.id
  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "all" {
  for_each = aws_s3_bucket.all

  bucket = each.value.id
  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm = "AES256"
    }
  }
}

resource "aws_s3_bucket_versioning" "all" {
  for_each = aws_s3_bucket.all

  bucket = each.value.id
  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_policy" "all" {
  for_each = aws_s3_bucket.all

  bucket = each.value.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [merge(local.tls_only, { Action = "s3:*", Resource = [each.value.arn, "${each.value.arn}/*"] })],
      # Seven years are the lifecycle's to end, and a bucket's policy does not bind the lifecycle.
      [for what in ["orders"] : {
        Sid       = "InvoicesAreKept"
        Effect    = "Deny"
        Principal = "*"
        Action    = ["s3:DeleteObject", "s3:DeleteObjectVersion"]
        Resource  = "${each.value.arn}/*"
      } if var.protected && each.key == what],
    )
  })

  depends_on = [aws_s3_bucket_public_access_block.all]
}

# Glacier Instant Retrieval, not the cheaper classes: those must be thawed for hours, and GET /v1.0/orders/{orderId} promises a
# link that works. The filter is there because S3 by itself moves no object under 128 KB, and invoices are smaller.
resource "aws_s3_bucket_lifecycle_configuration" "orders" {
  bucket = aws_s3_bucket.all["orders"].id

  rule {
    id     = "invoices"
    status = "Enabled"
    filter {
      object_size_greater_than = 1
    }
    transition {
      days          = local.invoice_cold_days
      storage_class = "GLACIER_IR"
    }
    expiration {
      days = local.invoice_kept_days
    }
    noncurrent_version_expiration {
      noncurrent_days = 90 # what a newly drawn invoice of the same order replaced
    }
    abort_incomplete_multipart_upload {
      days_after_initiation = 7
    }
  }

  depends_on = [aws_s3_bucket_versioning.all]
}

locals {
  invoice_cold_days = 2 * 365
  invoice_kept_days = 7 * 365 + 2 # seven years, two of them leap years at most
}

resource "aws_s3_bucket_lifecycle_configuration" "templates" {
  bucket = aws_s3_bucket.all["templates"].id

  rule {
    id     = "earlier-versions"
    status = "Enabled"
    filter {}
    noncurrent_version_expiration {
      noncurrent_days = 365
    }
  }

  depends_on = [aws_s3_bucket_versioning.all]
}

# The defaults that ship with the service, under the keys that it reads. Their text is the repository's: a template that
# somebody changed in the bucket is put back by the next apply.
locals {
  shipped = merge(
    { for file in fileset("${path.module}/../../notify/templates", "{internal,customer}/*.html") : file => "notify/templates/${file}" },
    { for file in fileset("${path.module}/../../invoice/branding", "{company.json,logo.png,logo.jpg}") : "branding/${file}" => "invoice/branding/${file}" },
  )
  content_types = {
    html = "text/html; charset=utf-8"
    json = "application/json"
    png  = "image/png"
    jpg  = "image/jpeg"
  }
}

resource "aws_s3_object" "shipped" {
  for_each = local.shipped

  bucket       = aws_s3_bucket.all["templates"].id
  key          = each.key
  source       = "${path.module}/../../${each.value}"
  source_hash  = filemd5("${path.module}/../../${each.value}")
  content_type = local.content_types[reverse(split(".", each.key))[0]]

  depends_on = [aws_s3_bucket_versioning.all]
}
