# One queue and one dead-letter queue for each consumer, and the topic that
# feeds three of them.

locals {
  # The longest that SQS offers. An outage of days costs time, never an order.
  # A dead letter's age counts from its first sending.
  queue_retention = 14 * 24 * 3600
}

resource "aws_sqs_queue" "work" {
  for_each = local.consumers

  name = "${each.value.queue}-${var.environment}"
  # Six times the function's timeout, so that a batch that is throttled and
  # retried is not delivered twice meanwhile, and the window in which Lambda
  # still gathers it.
  visibility_timeout_seconds = 6 * each.value.timeout + each.value.batchWindow
  message_retention_seconds  = local.queue_retention
  sqs_managed_sse_enabled    = true

  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.dead[each.key].arn
    maxReceiveCount     = 3
  })
  redrive_allow_policy = jsonencode({ redrivePermission = "denyAll" }) # nobody's dead-letter queue
}

resource "aws_sqs_queue" "dead" {
  for_each = local.consumers

  name                      = "${each.value.queue}-dlq-${var.environment}"
  message_retention_seconds = local.queue_retention
  sqs_managed_sse_enabled   = true
}

resource "aws_sqs_queue_redrive_allow_policy" "dead" {
  for_each = local.consumers

  queue_url = aws_sqs_queue.dead[each.key].url
  redrive_allow_policy = jsonencode({
    redrivePermission = "byQueue"
    sourceQueueArns   = [aws_sqs_queue.work[each.key].arn]
  })
}

# What could not be published: from the record creator itself the order and the
# history entry, from Lambda the place in the stream of records that grew too
# old.
resource "aws_sqs_queue" "events_dead" {
  name                      = "${local.stream.deadLetters}-${var.environment}"
  message_retention_seconds = local.queue_retention
  sqs_managed_sse_enabled   = true
}

locals {
  queues = merge(
    { for name, queue in aws_sqs_queue.work : name => { role = name, queue = queue } },
    { for name, queue in aws_sqs_queue.dead : "${name}-dlq" => { role = name, queue = queue } },
    { events-dlq = { role = "events", queue = aws_sqs_queue.events_dead } },
  )
}

resource "aws_sqs_queue_policy" "all" {
  for_each = local.queues

  queue_url = each.value.queue.url
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [merge(local.tls_only, { Action = "sqs:*", Resource = each.value.queue.arn })],
      # A subscriber's dead-letter queue also takes what SNS could not deliver
      # to the queue itself.
      [for name in keys(local.subscribers) : {
        Sid       = "EventsFromTheTopic"
        Effect    = "Allow"
        Principal = { Service = "sns.amazonaws.com" }
        Action    = "sqs:SendMessage"
        Resource  = each.value.queue.arn
        Condition = { ArnEquals = { "aws:SourceArn" = aws_sns_topic.events.arn } }
      } if name == each.value.role],
    )
  })
}

locals {
  # Refuses everyone, the account's own administrators too, who does not come
  # over TLS. "*" is every principal.
  tls_only = {
    Sid       = "TLSOnly"
    Effect    = "Deny"
    Principal = "*"
    Condition = { Bool = { "aws:SecureTransport" = "false" } }
  }
}

resource "aws_sns_topic" "events" {
  name              = local.names.topic
  kms_master_key_id = "alias/aws/sns" # events carry the customer's address
}

resource "aws_sns_topic_policy" "events" {
  arn = aws_sns_topic.events.arn
  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [merge(local.tls_only, { Action = "sns:Publish", Resource = aws_sns_topic.events.arn })]
  })
}

# Each queue gets what its consumer serves. A change of a filter takes up to 15
# minutes to take effect.
resource "aws_sns_topic_subscription" "events" {
  for_each = local.subscribers

  topic_arn            = aws_sns_topic.events.arn
  protocol             = "sqs"
  endpoint             = aws_sqs_queue.work[each.key].arn
  raw_message_delivery = true
  filter_policy_scope  = "MessageBody"
  filter_policy        = jsonencode({ eventType = each.value.events })
  redrive_policy       = jsonencode({ deadLetterTargetArn = aws_sqs_queue.dead[each.key].arn })

  depends_on = [aws_sqs_queue_policy.all] # a subscription that cannot deliver yet loses its first events
}
