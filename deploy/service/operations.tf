# Where alarms and mail events go, the dashboard, and the saved questions to the
# logs.

locals {
  operations = {
    page   = { name = "${local.names.prefix}-pages", publisher = "cloudwatch.amazonaws.com" }
    ticket = { name = "${local.names.prefix}-tickets", publisher = "cloudwatch.amazonaws.com" }
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
        Principal = { Service = sort(distinct([for topic in values(local.operations) : topic.publisher])) }
        Action    = ["kms:GenerateDataKey*", "kms:Decrypt"]
        Resource  = "*" # in a key's policy: this key
        Condition = { StringEquals = { "aws:SourceAccount" = local.account } }
      },
    ]
  })
}

resource "aws_sns_topic_subscription" "alerts" {
  for_each = merge([for urgency, endpoints in var.alerts : { for endpoint in endpoints : "${urgency} ${endpoint}" => { urgency = urgency, endpoint = endpoint } }]...)

  topic_arn = aws_sns_topic.operations[each.value.urgency].arn
  protocol  = startswith(each.value.endpoint, "https://") ? "https" : "email"
  endpoint  = each.value.endpoint
}

# One file a question; `fields` and so on are the language of CloudWatch Logs
# Insights. Questions named api-… are for the API's access log.
resource "aws_cloudwatch_query_definition" "saved" {
  for_each = fileset("${path.module}/../queries", "*.logs")

  name            = "${local.names.prefix}/${trimsuffix(each.value, ".logs")}"
  query_string    = file("${path.module}/../queries/${each.value}")
  log_group_names = startswith(each.value, "api-") ? [aws_cloudwatch_log_group.api.name] : sort([for group in aws_cloudwatch_log_group.function : group.name])
}
