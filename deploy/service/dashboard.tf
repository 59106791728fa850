# One page: the way of an order from left to right, top to bottom.

locals {
  # [title, metrics, statistic]; a metric is [namespace, name, dimension, value, …] as CloudWatch writes it.
  graphs = [
    ["API: requests and errors", [
      for metric in ["Count", "4XXError", "5XXError"] : ["AWS/ApiGateway", metric, "ApiName", local.names.prefix, "Stage", var.environment]
    ], "Sum"],
    ["API: latency by route, p95", [
      for role, row in local.api_roles :
      ["AWS/ApiGateway", "Latency", "ApiName", local.names.prefix, "Stage", var.environment, "Method", row.method, "Resource", row.path]
    ], "p95"],
    ["Orders", [
      for pair in [["create_order", "OrdersAccepted"], [local.recorder, "OrdersRecorded"], [local.recorder, "OrdersFailed"], ["order_pdf_creator", "InvoicesCreated"], ["order_internal_notifier", "MailsSent"], ["customer_order_confirmation", "MailsSent"]] :
      ["OrderService", pair[1], "role", pair[0], "environment", var.environment]
    ], "Sum"],
    ["Messages failed", [
      for role in keys(local.consumers) : ["OrderService", "MessagesFailed", "role", role, "environment", var.environment]
    ], "Sum"],
    ["Queues: messages waiting", [
      for queue in aws_sqs_queue.work : ["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", queue.name]
    ], "Maximum"],
    ["Queues: age of the oldest, s", [
      for queue in aws_sqs_queue.work : ["AWS/SQS", "ApproximateAgeOfOldestMessage", "QueueName", queue.name]
    ], "Maximum"],
    ["Dead letters", [
      for queue in aws_sqs_queue.dead : ["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", queue.name]
    ], "Maximum"],
    ["Functions: duration, p95", [
      for function in values(local.function_names) : ["AWS/Lambda", "Duration", "FunctionName", function]
    ], "p95"],
    ["Functions: errors", [
      for function in values(local.function_names) : ["AWS/Lambda", "Errors", "FunctionName", function]
    ], "Sum"],
    ["Functions: running at a time", [
      for function in values(local.function_names) : ["AWS/Lambda", "ConcurrentExecutions", "FunctionName", function]
    ], "Maximum"],
    ["Cold starts", [
      for role in keys(local.roles) : ["OrderService", "ColdStarts", "role", role, "environment", var.environment]
    ], "Sum"],
    ["Table: capacity and throttles", [
      for metric in ["ConsumedReadCapacityUnits", "ConsumedWriteCapacityUnits", "ReadThrottleEvents", "WriteThrottleEvents"] :
      ["AWS/DynamoDB", metric, "TableName", local.names.table]
    ], "Sum"],
    ["Mail", [
      for metric in ["Send", "Delivery", "Bounce", "Complaint", "Reject"] : ["AWS/SES", metric, "ses:configuration-set", local.names.mail]
    ], "Sum"],
    ["Cart: totals that differ from ours", [
      ["OrderService", "CartTotalMismatch", "role", local.recorder, "environment", var.environment]
    ], "Sum"],
    ["Work not done twice", [
      for role in keys(local.roles) : ["OrderService", "Duplicates", "role", role, "environment", var.environment]
    ], "Sum"],
  ]
}

resource "aws_cloudwatch_dashboard" "service" {
  dashboard_name = local.names.prefix
  dashboard_body = jsonencode({
    widgets = concat(
      [{
        type       = "alarm"
        x          = 0
        y          = 0
        width      = 24
        height     = 3
        properties = { title = "Alarms", alarms = [for alarm in aws_cloudwatch_metric_alarm.all : alarm.arn] }
      }],
      [for position, graph in local.graphs : {
        type   = "metric"
        x      = 8 * (position % 3)
        y      = 3 + 6 * floor(position / 3)
        width  = 8
        height = 6
        properties = {
          title   = graph[0]
          region  = local.region
          view    = "timeSeries"
          period  = 60
          stat    = graph[2]
          metrics = graph[1]
        }
      }],
    )
  })
}
