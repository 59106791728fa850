# One page, read from top to bottom by whoever is on call: what is red, whether
# customers are served, how far their orders get, then the causes.

locals {
  of_role = { for role in keys(local.roles) : role => ["role", role, "environment", var.environment] }

  # Each row: a heading with what to look for, then its graphs. A graph is
  # [title, statistic, metrics]; a metric is [namespace, name, dimension, value,
  # …] as CloudWatch writes it.
  dashboard_rows = [
    {
      text = "## 1. Are customers served?\nErrors of the API should be none; latency below 300, 200 and 500 ms for POST, GET and list. **4XX alone:** a portal that is broken, or somebody who tries: query `api-refusals`."
      graphs = [
        ["Requests and errors", "Sum", [
          for metric in ["Count", "4XXError", "5XXError"] : ["AWS/ApiGateway", metric, "ApiName", local.names.prefix, "Stage", var.environment]
        ]],
        ["Latency by route, p95", "p95", [
          for role, row in local.api_roles :
          ["AWS/ApiGateway", "Latency", "ApiName", local.names.prefix, "Stage", var.environment, "Method", row.method, "Resource", row.path]
        ]],
        ["Refused: firewall by rule, and without a valid token", "Sum", concat(
          [for rule in jsondecode(aws_wafv2_web_acl.api.rule_json) : ["AWS/WAFV2", "BlockedRequests", "WebACL", aws_wafv2_web_acl.api.name, "Region", local.region, "Rule", rule.VisibilityConfig.MetricName]],
          [["OrderService/${var.environment}", "Refused"]],
        )],
      ]
    },
    {
      text = "## 2. Do orders get through?\nAccepted and recorded should be the same line. Recorded within 2 s, documents within 7 s, mails within 15 s (p95). **Late, and nothing failed:** something waits, go on to 3."
      graphs = [
        ["Orders, changes, events", "Sum", concat(
          [concat(["OrderService", "OrdersAccepted"], local.of_role["create_order"])],
          [for metric in ["OrdersRecorded", "OrdersFailed", "EventsPublished"] : concat(["OrderService", metric], local.of_role[local.recorder])],
          [concat(["OrderService", "OrdersChanged"], local.of_role["update_order"])],
        )],
        ["Documents and mails", "Sum", concat(
          [concat(["OrderService", "DocumentsCreated"], local.of_role["order_pdf_creator"])],
          [for pair in setproduct(["order_internal_notifier", "customer_order_confirmation"], ["MailsSent", "MailFallbacks"]) : concat(["OrderService", pair[1]], local.of_role[pair[0]])],
        )],
        ["How late, p95", "p95", [
          for role, promise in local.promises : concat(["OrderService", promise.metric], local.of_role[role])
        ]],
      ]
    },
    {
      text = "## 3. Does anything wait?\nAges should be seconds. **Delayed:** copies of messages that wait for a neighbour that is down; they go on by themselves. **The stream's age:** no news of any order goes out while it rises."
      graphs = [
        ["Age of the oldest message, s", "Maximum", [
          for queue in aws_sqs_queue.work : ["AWS/SQS", "ApproximateAgeOfOldestMessage", "QueueName", queue.name]
        ]],
        ["Messages waiting and delayed", "Maximum", [
          for pair in setproduct([for queue in aws_sqs_queue.work : queue.name], ["Visible", "Delayed"]) : ["AWS/SQS", "ApproximateNumberOfMessages${pair[1]}", "QueueName", pair[0]]
        ]],
        ["Age of the stream, ms", "Maximum", [["AWS/Lambda", "IteratorAge", "FunctionName", local.function_names[local.recorder]]]],
      ]
    },
    {
      text = "## 4. Did anything fail?\nDead letters wait for a hand: query `dead-letters`, then *Redriving* in deploy/README.md. **Messages failed without dead letters:** tries that succeeded later."
      graphs = [
        ["Dead letters", "Maximum", [
          for row in values(local.dead_queues) : ["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", row.name]
        ]],
        ["Messages failed", "Sum", [
          for role in keys(local.consumers) : concat(["OrderService", "MessagesFailed"], local.of_role[role])
        ]],
        ["Mail: sent, delivered, refused", "Sum", [
          for metric in ["Send", "Delivery", "Bounce", "Complaint", "Reject"] : ["AWS/SES", metric, "ses:configuration-set", local.names.mail]
        ]],
      ]
    },
    {
      text = "## 5. Causes\nErrors are crashes and time-outs: query `crashes`. Throttles of functions: the account's concurrency. Throttles of the table: one hot tenant."
      graphs = [
        ["Functions: errors and throttles", "Sum", [
          for pair in setproduct(values(local.function_names), ["Errors", "Throttles"]) : ["AWS/Lambda", pair[1], "FunctionName", pair[0]]
        ]],
        ["Functions: duration, p95", "p95", [
          for function in values(local.function_names) : ["AWS/Lambda", "Duration", "FunctionName", function]
        ]],
        ["Functions: running at a time", "Maximum", [
          for function in values(local.function_names) : ["AWS/Lambda", "ConcurrentExecutions", "FunctionName", function]
        ]],
        ["Table: capacity and throttles", "Sum", [
          for metric in ["ConsumedReadCapacityUnits", "ConsumedWriteCapacityUnits", "ReadThrottleEvents", "WriteThrottleEvents"] :
          ["AWS/DynamoDB", metric, "TableName", local.names.table]
        ]],
        ["Cold starts", "Sum", [for role in keys(local.roles) : concat(["OrderService", "ColdStarts"], local.of_role[role])]],
        ["Work not done twice; carts whose total differs", "Sum", concat(
          [for role in keys(local.roles) : concat(["OrderService", "Duplicates"], local.of_role[role])],
          [concat(["OrderService", "CartTotalMismatch"], local.of_role[local.recorder])],
        )],
      ]
    },
  ]
}

resource "aws_cloudwatch_dashboard" "service" {
  dashboard_name = local.names.prefix
  dashboard_body = jsonencode({
    # A heading of 2 lines and graphs of 6, three side by side; only the last
    # row has more than three.
    widgets = concat(
      [{
        type       = "alarm"
        x          = 0
        y          = 0
        width      = 24
        height     = 4
        properties = { title = "What is red: pages first", alarms = concat([for urgency in ["page", "ticket"] : [for key, alarm in aws_cloudwatch_metric_alarm.all : alarm.arn if local.alarms[key].urgency == urgency]]...) }
      }],
      [for number, row in local.dashboard_rows : {
        type       = "text"
        x          = 0
        y          = 4 + 8 * number
        width      = 24
        height     = 2
        properties = { markdown = row.text }
      }],
      flatten([for number, row in local.dashboard_rows : [for position, graph in row.graphs : {
        type   = "metric"
        x      = 8 * (position % 3)
        y      = 6 + 8 * number + 6 * floor(position / 3)
        width  = 8
        height = 6
        properties = {
          title   = graph[0]
          region  = local.region
          view    = "timeSeries"
          period  = 60
          stat    = graph[1]
          metrics = graph[2]
        }
      }]]),
    )
  })
}
