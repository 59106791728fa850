# Daily backups of the table and the documents, copied to another account: what
# an error or a thief in this account cannot reach. The first line of defence is
# the table's own point-in-time recovery, to any second of the last 35 days.

resource "aws_backup_vault" "service" {
  count = local.backups

  name        = local.names.prefix
  kms_key_arn = aws_kms_key.backup[0].arn # a copy to another account cannot use AWS's own key
}

resource "aws_kms_key" "backup" {
  count = local.backups

  description             = "Backups of the order service, ${var.environment}"
  enable_key_rotation     = true
  deletion_window_in_days = 30
}

resource "aws_backup_plan" "service" {
  count = local.backups

  name = local.names.prefix

  rule {
    rule_name         = "daily"
    target_vault_name = aws_backup_vault.service[0].name
    schedule          = "cron(0 1 * * ? *)"
    lifecycle {
      delete_after = 35
    }
    copy_action {
      destination_vault_arn = var.backup_copy_vault_arn
      lifecycle {
        delete_after = 365
      }
    }
  }
}

resource "aws_backup_selection" "service" {
  count = local.backups

  name         = "orders-and-documents"
  plan_id      = aws_backup_plan.service[0].id
  iam_role_arn = aws_iam_role.backup[0].arn
  resources    = [aws_dynamodb_table.orders.arn, aws_s3_bucket.all["orders"].arn, aws_s3_bucket.all["templates"].arn]
}

resource "aws_iam_role" "backup" {
  count = local.backups

  name        = "${local.names.prefix}-backup-${local.region}"
  description = "AWS Backup copies the order service's table and buckets"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "backup.amazonaws.com" }
      Action    = "sts:AssumeRole"
    }]
  })
}

# Restoring has roles of its own: whoever restores brings them.
resource "aws_iam_role_policy_attachment" "backup" {
  for_each = local.backups == 0 ? [] : toset([
    "arn:aws:iam::aws:policy/service-role/AWSBackupServiceRolePolicyForBackup",
    "arn:aws:iam::aws:policy/AWSBackupServiceRolePolicyForS3Backup",
  ])

  role       = aws_iam_role.backup[0].name
  policy_arn = each.value
}

locals {
  backups = var.backup_copy_vault_arn == null ? 0 : 1
}
