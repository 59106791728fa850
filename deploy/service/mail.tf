locals {
  mail_domain   = split("@", var.mail_from)[1]
  mail_identity = "arn:aws:ses:${local.region}:${local.account}:identity/${local.mail_domain}"
  # Regions that SES reached later have a zone of their own for DKIM keys.
  # Source: "DKIM domains" in the AWS General Reference, Amazon SES endpoints
  # and quotas.
  dkim_zone = contains([
    "af-south-1", "ap-northeast-3", "ap-south-2", "ap-southeast-3", "ap-southeast-5", "ca-west-1", "eu-central-2", "eu-south-1", "il-central-1", "me-central-1", "us-gov-east-1",
  ], local.region) ? "dkim.${local.region}.amazonses.com" : "dkim.amazonses.com"

  recipient_identities = [for address in sort(var.mail_recipients) : "arn:aws:ses:${local.region}:${local.account}:identity/${address}"]
}

# The domain with Easy DKIM; the output mail_dns says which records prove it.
resource "aws_sesv2_email_identity" "domain" {
  count = var.account_settings ? 1 : 0

  email_identity = local.mail_domain
  dkim_signing_attributes {
    next_signing_key_length = "RSA_2048_BIT"
  }
}

resource "aws_sesv2_email_identity" "recipient" {
  for_each = var.mail_recipients

  email_identity = each.value
}

resource "aws_sesv2_configuration_set" "mail" {
  configuration_set_name = local.names.mail

  delivery_options {
    tls_policy = "REQUIRE"
  }
  reputation_options {
    reputation_metrics_enabled = true
  }
  # An address that bounced or complained is not written to again.
  suppression_options {
    suppressed_reasons = ["BOUNCE", "COMPLAINT"]
  }
}

# Each bounce and complaint as a message, and all of them as metrics.
resource "aws_sesv2_configuration_set_event_destination" "messages" {
  configuration_set_name = aws_sesv2_configuration_set.mail.configuration_set_name
  event_destination_name = "messages"

  event_destination {
    enabled              = true
    matching_event_types = ["BOUNCE", "COMPLAINT", "REJECT"]
    sns_destination {
      topic_arn = aws_sns_topic.operations["mail"].arn
    }
  }

  depends_on = [aws_sns_topic_policy.operations]
}

resource "aws_sesv2_configuration_set_event_destination" "metrics" {
  configuration_set_name = aws_sesv2_configuration_set.mail.configuration_set_name
  event_destination_name = "metrics"

  event_destination {
    enabled              = true
    matching_event_types = ["SEND", "DELIVERY", "BOUNCE", "COMPLAINT", "REJECT"]
    cloud_watch_destination {
      dimension_configuration {
        dimension_name          = "ses:configuration-set"
        dimension_value_source  = "MESSAGE_TAG"
        default_dimension_value = local.names.mail
      }
    }
  }
}

# Somebody must read them: SES drops mail to a suppressed address silently. They
# wait here, and an alarm says that there are some.
resource "aws_sqs_queue" "mail_events" {
  name                      = "${local.names.mail}-events"
  message_retention_seconds = local.queue_retention
  sqs_managed_sse_enabled   = true
}

resource "aws_sqs_queue_policy" "mail_events" {
  queue_url = aws_sqs_queue.mail_events.url
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      merge(local.tls_only, { Action = "sqs:*", Resource = aws_sqs_queue.mail_events.arn }),
      {
        Sid       = "MailEvents"
        Effect    = "Allow"
        Principal = { Service = "sns.amazonaws.com" }
        Action    = "sqs:SendMessage"
        Resource  = aws_sqs_queue.mail_events.arn
        Condition = { ArnEquals = { "aws:SourceArn" = aws_sns_topic.operations["mail"].arn } }
      },
    ]
  })
}

resource "aws_sns_topic_subscription" "mail_events" {
  topic_arn            = aws_sns_topic.operations["mail"].arn
  protocol             = "sqs"
  endpoint             = aws_sqs_queue.mail_events.arn
  raw_message_delivery = true

  depends_on = [aws_sqs_queue_policy.mail_events]
}
