locals {
  mail_domain          = split("@", var.mail_from)[1]
  mail_identity        = "arn:aws:ses:${local.region}:${local.account}:identity/${local.mail_domain}"
  recipient_identities = [for address in sort(var.mail_recipients) : "arn:aws:ses:${local.region}:${local.account}:identity/${address}"]
}

# The domain with Easy DKIM; the output mail_dns says which records prove it.
resource "aws_sesv2_email_identity" "domain" {
  count = var.account_settings ? 1 : 0

  email_identity = local.mail_domain
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

# Each bounce and complaint as a message for whoever subscribes, and all of them as metrics.
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
