# Every alarm is "a statistic of one metric is above a threshold for so many
# periods", so they are one table. Each says how urgent it is, and which saved
# query to begin with.

locals {
  # Section 13 of the contract: the p95 that users were promised, in
  # milliseconds. It promises nothing for PUT: as a list's.
  api_targets = {
    create_order = 300
    get_order    = 200
    list_orders  = 500
    update_order = 500
  }

  # The same for what happens behind the queue, measured from the order's own
  # times, waiting included: recording takes 2 s; a document 5 s from then; a
  # mail arrives within 15 s of the change.
  promises = {
    order_creator_record        = { metric = "AcceptedToRecordedMilliseconds", most = 2000 }
    order_pdf_creator           = { metric = "ChangeToDocumentMilliseconds", most = 7000 }
    order_internal_notifier     = { metric = "ChangeToMailMilliseconds", most = 15000 }
    customer_order_confirmation = { metric = "ChangeToMailMilliseconds", most = 15000 }
  }

  api_dimensions = { ApiName = local.names.prefix, Stage = var.environment }

  # Dead letters of the record creator and of the stream are orders that are not
  # made and news that nobody hears: they wake somebody up.
  dead_queues = merge(
    { for role, queue in aws_sqs_queue.dead : role => { name = queue.name, urgency = role == local.recorder ? "page" : "ticket" } },
    { events = { name = aws_sqs_queue.events_dead.name, urgency = "page" } },
  )

  alarms = merge(
    # Two alarms for each: one is red while there are any, the other goes off
    # again with each that is added, which the first would hide.
    { for pair in setproduct(keys(local.dead_queues), ["dead-letters", "dead-letters-growing"]) : join("-", pair) => {
      description = {
        dead-letters         = "Messages lie in ${local.dead_queues[pair[0]].name}; see redriving in deploy/README.md."
        dead-letters-growing = "Another message came to ${local.dead_queues[pair[0]].name}."
      }[pair[1]]
      urgency    = local.dead_queues[pair[0]].urgency
      query      = "dead-letters"
      namespace  = "AWS/SQS"
      metric     = "ApproximateNumberOfMessagesVisible"
      growth     = pair[1] == "dead-letters-growing"
      dimensions = { QueueName = local.dead_queues[pair[0]].name }
      statistic  = "Maximum"
      threshold  = 0
      period     = 60
      periods    = 1
    } },
    { for role, queue in aws_sqs_queue.work : "${role}-backlog" => {
      description = "The oldest message for ${role} waits for five minutes: more arrives than is taken, or it keeps failing."
      urgency     = role == local.recorder ? "page" : "ticket"
      query       = "failures-by-reason"
      namespace   = "AWS/SQS"
      metric      = "ApproximateAgeOfOldestMessage"
      dimensions  = { QueueName = queue.name }
      statistic   = "Maximum"
      threshold   = 300
      period      = 60
      periods     = 3
    } },
    { for role, queue in aws_sqs_queue.work : "${role}-waiting" => {
      description = "For a quarter of an hour messages of ${role} have waited for a neighbour that is down or refuses. They try again by themselves for 24 hours."
      urgency     = "ticket"
      query       = "failures-by-reason"
      namespace   = "AWS/SQS"
      metric      = "ApproximateNumberOfMessagesDelayed"
      dimensions  = { QueueName = queue.name }
      statistic   = "Minimum"
      threshold   = 0
      period      = 300
      periods     = 3
    } },
    { stream-age = {
      description = "The record creator is five minutes behind the table's stream: no news of any order goes out."
      urgency     = "page"
      query       = "failures-by-reason"
      namespace   = "AWS/Lambda"
      metric      = "IteratorAge"
      dimensions  = { FunctionName = local.function_names[local.recorder] }
      statistic   = "Maximum"
      threshold   = 300 * 1000
      period      = 60
      periods     = 3
    } },
    { for pair in setproduct(keys(local.roles), ["Errors", "Throttles"]) : "${pair[0]}-${lower(pair[1])}" => {
      description = {
        Errors    = "${pair[0]} crashes, runs out of time or cannot start. (A record that fails is no error of the function.)"
        Throttles = "${pair[0]} is refused concurrency: the account's limit is reached."
      }[pair[1]]
      urgency    = { Errors = "ticket", Throttles = "page" }[pair[1]]
      query      = { Errors = "crashes", Throttles = "slowest-invocations" }[pair[1]]
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
      urgency     = "ticket"
      query       = "slowest-invocations"
      namespace   = "AWS/Lambda"
      metric      = "Duration"
      dimensions  = { FunctionName = local.function_names[role] }
      statistic   = "Maximum"
      threshold   = row.timeout * 1000 * 4 / 5
      period      = 60
      periods     = 1
    } },
    { for role, promise in local.promises : "${role}-late" => {
      description = "${role} is later than was promised (p95), from the order's own times: waiting in the queue counts."
      urgency     = "ticket"
      query       = "slowest-invocations"
      namespace   = "OrderService"
      metric      = promise.metric
      dimensions  = { role = role, environment = var.environment }
      statistic   = "p95"
      threshold   = promise.most
      period      = 300
      periods     = 3
    } },
    { for role, milliseconds in local.api_targets : "${role}-slow" => {
      description = "${local.roles[role].method} ${local.roles[role].path} takes longer than was promised (p95)."
      urgency     = "ticket"
      query       = "slowest-invocations"
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
      urgency     = "page"
      query       = "api-refusals"
      namespace   = "AWS/ApiGateway"
      metric      = "5XXError"
      dimensions  = local.api_dimensions
      statistic   = "Average"
      threshold   = 0.01
      period      = 60
      periods     = 3
    } },
    { api-refused = {
      description = "More than a hundred requests in five minutes came without a valid token, or for another tenant: somebody tries, or the portal is broken."
      urgency     = "ticket"
      query       = "api-refusals"
      namespace   = one(aws_cloudwatch_log_metric_filter.refused.metric_transformation).namespace
      metric      = one(aws_cloudwatch_log_metric_filter.refused.metric_transformation).name
      dimensions  = {}
      statistic   = "Sum"
      threshold   = 100
      period      = 300
      periods     = 1
    } },
    { for rule in jsondecode(aws_wafv2_web_acl.api.rule_json) : "firewall-${lower(rule.Name)}" => {
      description = "The firewall's rule ${rule.Name} refuses requests."
      urgency     = "ticket"
      query       = "api-refusals"
      namespace   = "AWS/WAFV2"
      metric      = "BlockedRequests"
      dimensions  = { WebACL = aws_wafv2_web_acl.api.name, Region = local.region, Rule = rule.VisibilityConfig.MetricName }
      statistic   = "Sum"
      threshold   = 0
      period      = 300
      periods     = 1
    } },
    { for pair in setproduct(["Read", "Write"], ["table", "OrdersByDateIndex", "OrderByIdIndex"]) : "${pair[1]}-${lower(pair[0])}-throttles" => {
      description = "${pair[0]}s of ${pair[1]} are throttled: one tenant is hot, or traffic doubled faster than on-demand capacity follows."
      urgency     = "ticket"
      query       = "failures-by-reason"
      namespace   = "AWS/DynamoDB"
      metric      = "${pair[0]}ThrottleEvents"
      dimensions  = merge({ TableName = local.names.table }, pair[1] == "table" ? {} : { GlobalSecondaryIndexName = pair[1] })
      statistic   = "Sum"
      threshold   = 0
      period      = 60
      periods     = 1
    } },
    { events-undelivered = {
      description = "SNS gave up on delivering an order's event to a queue. It is in that queue's dead-letter queue."
      urgency     = "ticket"
      query       = "order-trail"
      namespace   = "AWS/SNS"
      metric      = "NumberOfNotificationsFailed"
      dimensions  = { TopicName = local.names.topic }
      statistic   = "Sum"
      threshold   = 0
      period      = 60
      periods     = 1
    } },
    { for row in [
      ["orders-failed", "OrdersFailed", local.recorder, "An order was accepted and cannot be recorded."],
      ["internal-mail-fallbacks", "MailFallbacks", "order_internal_notifier", "The team's mail goes out without its template."],
      ["customer-mail-fallbacks", "MailFallbacks", "customer_order_confirmation", "The customer's mail goes out without its template."],
      ] : row[0] => {
      description = row[3]
      urgency     = "ticket"
      query       = "failures-by-reason"
      namespace   = "OrderService"
      metric      = row[1]
      dimensions  = { role = row[2], environment = var.environment }
      statistic   = "Sum"
      threshold   = 0
      period      = 60
      periods     = 1
    } },
    { mail-events = {
      description = "Mails bounced or were complained of in the last hour; ${aws_sqs_queue.mail_events.name} says which. SES writes to these addresses no more."
      urgency     = "ticket"
      query       = "order-trail"
      namespace   = "AWS/SQS"
      metric      = "NumberOfMessagesSent"
      dimensions  = { QueueName = aws_sqs_queue.mail_events.name }
      statistic   = "Sum"
      threshold   = 0
      period      = 3600
      periods     = 1
    } },
    # SES reviews an account above 5 % bounces or 0.1 % complaints, and stops
    # its sending at 10 % or 0.5 %.
    { for metric, limit in { BounceRate = 0.04, ComplaintRate = 0.0008 } : "mail-${lower(metric)}" => {
      description                       = "SES's ${metric} of the account comes near what makes SES put the account under review."
      urgency                           = "page"
      query                             = "order-trail"
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

  # The urgency is in the name: deploy/rollout.sh asks for pages by their
  # prefix.
  alarm_name        = "${local.names.prefix}-${each.value.urgency}-${each.key}"
  alarm_description = "${each.value.description} Saved query: ${each.value.query}."

  # An alarm is on a metric, or on an expression with the metric in it.
  namespace          = try(each.value.growth, false) ? null : each.value.namespace
  metric_name        = try(each.value.growth, false) ? null : each.value.metric
  dimensions         = try(each.value.growth, false) ? null : each.value.dimensions
  period             = try(each.value.growth, false) ? null : each.value.period
  statistic          = try(each.value.growth, false) || each.value.statistic == "p95" ? null : each.value.statistic
  extended_statistic = each.value.statistic == "p95" ? "p95" : null

  dynamic "metric_query" {
    for_each = try(each.value.growth, false) ? ["growth"] : []
    content {
      id          = "growth"
      expression  = "DIFF(depth)"
      label       = "more than a minute ago"
      return_data = true
    }
  }
  dynamic "metric_query" {
    for_each = try(each.value.growth, false) ? ["depth"] : []
    content {
      id = "depth"
      metric {
        namespace   = each.value.namespace
        metric_name = each.value.metric
        dimensions  = each.value.dimensions
        stat        = each.value.statistic
        period      = each.value.period
      }
    }
  }

  comparison_operator = "GreaterThanThreshold"
  threshold           = each.value.threshold
  evaluation_periods  = each.value.periods
  treat_missing_data  = "notBreaching" # no traffic is no alarm
  # A percentile of a handful of requests says nothing.
  evaluate_low_sample_count_percentiles = each.value.statistic == "p95" ? "ignore" : null

  alarm_actions = [aws_sns_topic.operations[each.value.urgency].arn]
  ok_actions    = [aws_sns_topic.operations[each.value.urgency].arn]

  lifecycle {
    precondition {
      condition     = contains(local.questions, each.value.query)
      error_message = "The alarm ${each.key} names a saved query that is not in deploy/queries."
    }
  }
}

locals {
  questions = [for file in fileset("${path.module}/../queries", "*.logs") : trimsuffix(file, ".logs")]
}
