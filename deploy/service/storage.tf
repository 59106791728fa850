# Two buckets: documents, and what mails and documents are made from.

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
      # What the law wants kept. A pro forma is none of it: erasing a customer
      # may take it away. Versions that were replaced are the lifecycle's to
      # end, which a bucket's policy does not bind.
      [for what in ["orders"] : {
        Sid       = "LegalDocumentsAreKept"
        Effect    = "Deny"
        Principal = "*"
        Action    = ["s3:DeleteObject", "s3:DeleteObjectVersion"]
        Resource  = ["${each.value.arn}/*_tax_invoice.pdf", "${each.value.arn}/*_credit_note.pdf"]
      } if var.protected && each.key == what],
    )
  })

  depends_on = [aws_s3_bucket_public_access_block.all]
}

# Documents stay in S3 Standard and live as long as their order, which links to
# them. Another class does not pay for objects of 30 KB: deploy/README.md has
# the arithmetic. S3 refuses a rule that has a filter by size and ends uploads.
resource "aws_s3_bucket_lifecycle_configuration" "orders" {
  bucket = aws_s3_bucket.all["orders"].id

  rule {
    id     = "earlier-versions"
    status = "Enabled"
    filter {}
    noncurrent_version_expiration {
      noncurrent_days = 90 # what an erasure or a newly drawn pro forma replaced
    }
  }
  rule {
    id     = "unfinished-uploads"
    status = "Enabled"
    filter {}
    abort_incomplete_multipart_upload {
      days_after_initiation = 7
    }
  }

  depends_on = [aws_s3_bucket_versioning.all]
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

# The defaults that ship with the service, under the keys that it reads. They
# are put there once: what lies in the bucket afterwards is its owner's, and an
# apply must not undo a template that was changed for a campaign.
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
  content_type = local.content_types[reverse(split(".", each.key))[0]]

  lifecycle {
    ignore_changes = [source, content_type]
  }

  depends_on = [aws_s3_bucket_versioning.all]
}
