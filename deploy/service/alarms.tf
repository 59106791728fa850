# Every alarm is "a statistic of one metric is above a threshold for so many periods", so they are one table.

locals {
  # Section 13 of the contract: the p95 that users were promised, in milliseconds. It promises nothing for PUT: as a list's.
  api_targets = {
    create_order = 300
    get_order    = 200
    list_orders  = 500
    update_order = 500
  }
  consumer_targets = {
    order_creator_record        = 2000
    order_pdf_creator           = 5000
    order_internal_notifier     = 10000
    customer_order_confirmation = 10000
  }

  api_dimensions = { ApiName = local.names.prefix, Stage = var.environment }

  alarms = merge(
    { for role, queue in aws_sqs_queue.dead : "${role}-dead-letters" => {
      description = "Messages that ${role} could not handle in three receives lie in ${queue.name}; see redriving in deploy/README.md."
      namespace   = "AWS/SQS"
      metric      = "ApproximateNumberOfMessagesVisible"
      dimensions  = { QueueName = queue.name }
      statistic   = "Maximum"
      threshold   = 0
      period      = 60
      periods     = 1
    } },
    { for role, queue in aws_sqs_queue.work : "${role}-backlog" => {
      description = "The oldest message for ${role} waits for five minutes: more arrives than is taken, or it keeps failing."
      namespace   = "AWS/SQS"
      metric      = "ApproximateAgeOfOldestMessage"
      dimensions  = { QueueName = queue.name }
      statistic   = "Maximum"
      threshold   = 300
      period      = 60
      periods     = 3
    } },
    { for pair in setproduct(keys(local.roles), ["Errors", "Throttles"]) : "${pair[0]}-${lower(pair[1])}" => {
      description = {
        Errors    = "${pair[0]} crashes, runs out of time or cannot start. (A record that fails is no error of the function.)"
        Throttles = "${pair[0]} is refused concurrency: the account's limit is reached."
      }[pair[1]]
      namespace  = "AWS/Lambda"
      metric     = pair[1]
      dimensions = { FunctionName = local.function_names[pair[0]] }
      statistic  = "Sum"
      threshold  = 0
      period     = 60
      periods    = 1
    } },
    { for role, row in local.roles : "${role}-near-timeout" => {
      description = "An invocation of ${role} took more than four fifths of its ${row.timeout} s."
      namespace   = "AWS/Lambda"
      metric      = "Duration"
      dimensions  = { FunctionName = local.function_names[role] }
      statistic   = "Maximum"
      threshold   = row.timeout * 1000 * 4 / 5
      period      = 60
      periods     = 1
    } },
    { for role, milliseconds in local.consumer_targets : "${role}-slow" => {
      description = "A batch takes ${role} longer than was promised for one message (p95)."
      namespace   = "AWS/Lambda"
      metric      = "Duration"
      dimensions  = { FunctionName = local.function_names[role] }
      statistic   = "p95"
      threshold   = milliseconds
      period      = 300
      periods     = 3
    } },
    { for role, milliseconds in local.api_targets : "${role}-slow" => {
      description = "${local.roles[role].method} ${local.roles[role].path} takes longer than was promised (p95)."
      namespace   = "AWS/ApiGateway"
      metric      = "Latency"
      dimensions  = merge(local.api_dimensions, { Method = local.roles[role].method, Resource = local.roles[role].path })
      statistic   = "p95"
      threshold   = milliseconds
      period      = 300
      periods     = 3
    } },
    { api-5xx = {
      description = "More than one request in a hundred is answered with 5xx."
      namespace   = "AWS/ApiGateway"
      metric      = "5XXError"
      dimensions  = local.api_dimensions
      statistic   = "Average"
      threshold   = 0.01
      period      = 60
      periods     = 3
    } },
    { for pair in setproduct(["Read", "Write"], ["table", "OrdersByDateIndex", "OrderByIdIndex"]) : "${pair[1]}-${lower(pair[0])}-throttles" => {
      description = "${pair[0]}s of ${pair[1]} are throttled: one tenant is hot, or traffic doubled faster than on-demand capacity follows."
      namespace   = "AWS/DynamoDB"
      metric      = "${pair[0]}ThrottleEvents"
      dimensions  = merge({ TableName = local.names.table }, pair[1] == "table" ? {} : { GlobalSecondaryIndexName = pair[1] })
      statistic   = "Sum"
      threshold   = 0
      period      = 60
      periods     = 1
    } },
    { events-undelivered = {
      description = "SNS gave up on delivering an order's event to a queue."
      namespace   = "AWS/SNS"
      metric      = "NumberOfNotificationsFailed"
      dimensions  = { TopicName = local.names.topic }
      statistic   = "Sum"
      threshold   = 0
      period      = 60
      periods     = 1
    } },
    { for pair in [
      ["orders-failed", "OrdersFailed", local.recorder, "An order was accepted and cannot be recorded."],
      ["internal-mail-fallbacks", "MailFallbacks", "order_internal_notifier", "The team's mail goes out without its template."],
      ["customer-mail-fallbacks", "MailFallbacks", "customer_order_confirmation", "The customer's mail goes out without its template."],
      ] : pair[0] => {
      description = "${pair[3]} The saved query failures-by-reason says why."
      namespace   = "OrderService"
      metric      = pair[1]
      dimensions  = { role = pair[2], environment = var.environment }
      statistic   = "Sum"
      threshold   = 0
      period      = 60
      periods     = 1
    } },
    # SES reviews an account above 5 % bounces or 0.1 % complaints, and stops its sending at 10 % or 0.5 %.
    { for metric, limit in { BounceRate = 0.04, ComplaintRate = 0.0008 } : "mail-${lower(metric)}" => {
      description                       = "SES's ${metric} of the account comes near what makes SES put the account under review."
      namespace                         = "AWS/SES"
      metric                            = "Reputation.${metric}"
      dimensions                        = {}
      statistic                         = "Average"
      threshold                         = limit
      period                            = 3600
      periods                           = 1
    } },
  )
}

resource "aws_cloudwatch_metric_alarm" "all" {
  for_each = local.alarms

  alarm_name          = "${local.names.prefix}-${each.key}"
  alarm_description   = each.value.description
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  dimensions          = each.value.dimensions
  statistic           = each.value.statistic == "p95" ? null : each.value.statistic
  extended_statistic  = each.value.statistic == "p95" ? "p95" : null
  comparison_operator = "GreaterThanThreshold"
  threshold           = each.value.threshold
  period              = each.value.period
  evaluation_periods  = each.value.periods
  treat_missing_data  = "notBreaching" # no traffic is no alarm
  # A percentile of a handful of requests says nothing.
  evaluate_low_sample_count_percentiles = each.value.statistic == "p95" ? "ignore" : null

  alarm_actions = [aws_sns_topic.operations["alerts"].arn]
  ok_actions    = [aws_sns_topic.operations["alerts"].arn]
}
