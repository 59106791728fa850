# What is watched, whom it tells, and where to look.

mock_provider "aws" {
  source          = "./tests/aws"
  override_during = plan
}

variables {
  environment   = "dev"
  image_tag     = "0123456789abcdef0123456789abcdef01234567"
  image_digest  = "sha256:0000000000000000000000000000000000000000000000000000000000000000"
  mail_from     = "test@kimmyai.io"
  mail_internal = ["orders@kimmyai.io"]
}

run "alarms_cover_what_can_break" {
  command = plan

  assert {
    condition     = toset([for a in aws_cloudwatch_metric_alarm.all : a.dimensions.QueueName if a.metric_name == "ApproximateNumberOfMessagesVisible" && a.threshold == 0]) == toset([for queue in concat(values(aws_sqs_queue.dead), [aws_sqs_queue.events_dead]) : queue.name])
    error_message = "A dead-letter queue has no alarm."
  }
  # An alarm that is red says nothing of the next message.
  assert {
    condition = toset(flatten([for a in aws_cloudwatch_metric_alarm.all : [for q in a.metric_query : [for m in q.metric : m.dimensions.QueueName]]
    if anytrue([for q in a.metric_query : try(q.expression == "DIFF(depth)" && q.return_data, false)])])) == toset([for queue in concat(values(aws_sqs_queue.dead), [aws_sqs_queue.events_dead]) : queue.name])
    error_message = "A dead-letter queue that is not empty has no alarm for one message more."
  }
  assert {
    condition = alltrue([for metric in ["ApproximateAgeOfOldestMessage", "ApproximateNumberOfMessagesDelayed"] :
    toset([for a in aws_cloudwatch_metric_alarm.all : a.dimensions.QueueName if a.metric_name == metric]) == toset([for queue in aws_sqs_queue.work : queue.name])])
    error_message = "A queue's age, or what waits in it for a neighbour, has no alarm."
  }
  assert {
    condition     = one([for a in aws_cloudwatch_metric_alarm.all : [a.threshold <= 600000, a.dimensions.FunctionName] if a.metric_name == "IteratorAge"]) == [true, aws_lambda_function.role["order_creator_record"].function_name]
    error_message = "Nobody hears of a stream that is ten minutes behind."
  }
  assert {
    condition = alltrue([for metric in ["Errors", "Throttles", "Duration"] :
    toset([for a in aws_cloudwatch_metric_alarm.all : a.dimensions.FunctionName if a.metric_name == metric]) == toset([for f in aws_lambda_function.role : f.function_name])])
    error_message = "A function's errors, throttles or duration have no alarm."
  }
  assert {
    condition     = alltrue(flatten([for a in aws_cloudwatch_metric_alarm.all : [for f in aws_lambda_function.role : a.threshold < f.timeout * 1000 if f.function_name == a.dimensions.FunctionName] if a.metric_name == "Duration"]))
    error_message = "An alarm near the timeout comes before it."
  }
  assert {
    condition     = anytrue([for a in aws_cloudwatch_metric_alarm.all : a.metric_name == "5XXError"]) && length([for a in aws_cloudwatch_metric_alarm.all : a if a.metric_name == null ? false : endswith(a.metric_name, "ThrottleEvents")]) == 6
    error_message = "The API's 5xx or the table's throttles have no alarm."
  }
  assert {
    condition     = one([for a in aws_cloudwatch_metric_alarm.all : a.dimensions.QueueName if a.metric_name == "NumberOfMessagesSent"]) == aws_sqs_queue.mail_events.name
    error_message = "Bounces and complaints lie in their queue, and nobody is told."
  }
}

run "promises_of_the_contract_are_watched" {
  command = plan

  # Section 13, written out.
  assert {
    condition = { for a in aws_cloudwatch_metric_alarm.all : "${a.dimensions.Method} ${a.dimensions.Resource}" => a.threshold if a.metric_name == "Latency" && a.extended_statistic == "p95" } == {
      "POST /v1.0/orders"                   = 300
      "GET /v1.0/orders/{orderId}"          = 200
      "GET /v1.0/tenants/{tenantId}/orders" = 500
      "PUT /v1.0/orders/{orderId}"          = 500
    }
    error_message = "A route's latency is not held to section 13 of the contract."
  }
  assert {
    condition = { for a in aws_cloudwatch_metric_alarm.all : "${a.dimensions.role} ${a.metric_name}" => a.threshold if a.namespace == "OrderService" && a.extended_statistic == "p95" } == {
      "order_creator_record AcceptedToRecordedMilliseconds"  = 2000
      "order_pdf_creator ChangeToDocumentMilliseconds"       = 7000 # 2 s to record, 5 s to draw
      "order_internal_notifier ChangeToMailMilliseconds"     = 15000
      "customer_order_confirmation ChangeToMailMilliseconds" = 15000
    }
    error_message = "What happens behind the queue is not held to section 13 of the contract."
  }
}

run "refusals_at_the_edge_are_seen" {
  command = plan

  assert {
    condition     = toset([for a in aws_cloudwatch_metric_alarm.all : a.dimensions.Rule if a.namespace == "AWS/WAFV2"]) == toset([for rule in jsondecode(aws_wafv2_web_acl.api.rule_json) : rule.VisibilityConfig.MetricName])
    error_message = "A rule of the firewall refuses requests, and nobody is told."
  }
  assert {
    condition     = strcontains(aws_cloudwatch_log_metric_filter.refused.pattern, "$.status = \"401\"") && anytrue([for a in aws_cloudwatch_metric_alarm.all : a.metric_name == "Refused" && a.namespace == one(aws_cloudwatch_log_metric_filter.refused.metric_transformation).namespace])
    error_message = "The authorizer refuses requests, and nobody is told."
  }
  # The filter and the query read what the stage writes.
  assert {
    condition     = length(setsubtract(["status", "errorType", "firewall", "route", "ip"], keys(jsondecode(one(aws_api_gateway_stage.live.access_log_settings).format)))) == 0
    error_message = "The access log lacks what tells a refusal's cause."
  }
}

run "pages_wake_somebody_and_tickets_do_not" {
  command = plan

  assert {
    condition     = alltrue([for key, a in aws_cloudwatch_metric_alarm.all : a.alarm_actions == toset([aws_sns_topic.operations[local.alarms[key].urgency].arn]) && startswith(a.alarm_name, "bbws-order-service-dev-${local.alarms[key].urgency}-")])
    error_message = "An alarm tells nobody, or others than its name says."
  }
  assert {
    condition = toset([for key, alarm in local.alarms : key if alarm.urgency == "page" && !endswith(key, "-throttles")]) == toset([
      "api-5xx", "stream-age", "order_creator_record-backlog",
      "order_creator_record-dead-letters", "order_creator_record-dead-letters-growing", "events-dead-letters", "events-dead-letters-growing",
      "mail-bouncerate", "mail-complaintrate",
    ])
    error_message = "What wakes somebody changed: ${jsonencode([for key, alarm in local.alarms : key if alarm.urgency == "page"])}"
  }
  assert {
    condition     = alltrue([for policy in aws_sns_topic_policy.operations : anytrue([for s in jsondecode(policy.policy).Statement : endswith(s.Principal.Service, ".amazonaws.com") if s.Effect == "Allow"])])
    error_message = "The services may not publish to the topics of operations."
  }
}

run "every_alarm_says_where_to_look" {
  command = plan

  assert {
    condition     = alltrue([for key, a in aws_cloudwatch_metric_alarm.all : contains(keys(aws_cloudwatch_query_definition.saved), "${local.alarms[key].query}.logs") && endswith(a.alarm_description, "Saved query: ${local.alarms[key].query}.")])
    error_message = "An alarm names no saved query."
  }
  assert {
    condition     = alltrue([for file, q in aws_cloudwatch_query_definition.saved : q.log_group_names == (startswith(file, "api-") ? ["/aws/apigateway/bbws-order-service-dev"] : sort([for group in aws_cloudwatch_log_group.function : group.name]))])
    error_message = "A question is put to the wrong logs."
  }
  assert {
    condition     = [for w in jsondecode(aws_cloudwatch_dashboard.service.dashboard_body).widgets : w.type if w.type != "metric"] == ["alarm", "text", "text", "text", "text", "text"]
    error_message = "The dashboard is read from what is red down to causes, under five headings."
  }
  assert {
    condition = length(distinct([for w in jsondecode(aws_cloudwatch_dashboard.service.dashboard_body).widgets : "${w.x} ${w.y}"])) == length(jsondecode(aws_cloudwatch_dashboard.service.dashboard_body).widgets) && alltrue(flatten([
      for w in jsondecode(aws_cloudwatch_dashboard.service.dashboard_body).widgets : length(w.properties.metrics) > 0 && alltrue([for m in w.properties.metrics : length(m) % 2 == 0]) if w.type == "metric"
    ]))
    error_message = "Two graphs lie on each other, one is empty, or a metric lacks a dimension's value."
  }
}
