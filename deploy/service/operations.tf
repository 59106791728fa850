# Where alarms and mail events go, the dashboard, and the saved questions to the logs.

locals {
  operations = {
    alerts = { name = "${local.names.prefix}-alerts", publisher = "cloudwatch.amazonaws.com" }
    mail   = { name = "${local.names.mail}-events", publisher = "ses.amazonaws.com" }
  }
}

resource "aws_sns_topic" "operations" {
  for_each = local.operations

  name              = each.value.name
  kms_master_key_id = aws_kms_key.operations.arn
}

resource "aws_sns_topic_policy" "operations" {
  for_each = local.operations

  arn = aws_sns_topic.operations[each.key].arn
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      merge(local.tls_only, { Action = "sns:Publish", Resource = aws_sns_topic.operations[each.key].arn }),
      {
        Sid       = "ServicePublishes"
        Effect    = "Allow"
        Principal = { Service = each.value.publisher }
        Action    = "sns:Publish"
        Resource  = aws_sns_topic.operations[each.key].arn
        Condition = { StringEquals = { "aws:SourceAccount" = local.account } }
      },
    ]
  })
}

# CloudWatch and SES may not use AWS's own key of SNS, hence one of ours.
resource "aws_kms_key" "operations" {
  description             = "Topics of the order service that AWS services publish to, ${var.environment}"
  enable_key_rotation     = true
  deletion_window_in_days = 30
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "TheAccountDecides"
        Effect    = "Allow"
        Principal = { AWS = "arn:aws:iam::${local.account}:root" }
        Action    = "kms:*"
        Resource  = "*" # in a key's policy: this key
      },
      {
        Sid       = "ServicesPublish"
        Effect    = "Allow"
        Principal = { Service = sort([for topic in values(local.operations) : topic.publisher]) }
        Action    = ["kms:GenerateDataKey*", "kms:Decrypt"]
        Resource  = "*" # in a key's policy: this key
        Condition = { StringEquals = { "aws:SourceAccount" = local.account } }
      },
    ]
  })
}

resource "aws_sns_topic_subscription" "alerts" {
  for_each = var.alert_emails

  topic_arn = aws_sns_topic.operations["alerts"].arn
  protocol  = "email"
  endpoint  = each.value
}

# One file a question; `fields` and so on are the language of CloudWatch Logs Insights.
resource "aws_cloudwatch_query_definition" "saved" {
  for_each = fileset("${path.module}/../queries", "*.logs")

  name            = "${local.names.prefix}/${trimsuffix(each.value, ".logs")}"
  query_string    = file("${path.module}/../queries/${each.value}")
  log_group_names = sort([for group in aws_cloudwatch_log_group.function : group.name])
}
