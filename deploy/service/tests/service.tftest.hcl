# What the plan of the service promises. AWS is mocked: nothing here needs an
# account.

mock_provider "aws" {
  source          = "./tests/aws"
  override_during = plan
}

variables {
  environment   = "dev"
  image_tag     = "0123456789abcdef0123456789abcdef01234567"
  image_digest  = "sha256:0000000000000000000000000000000000000000000000000000000000000000"
  mail_from     = "test@kimmyai.io"
  mail_internal = ["orders@kimmyai.io", "team@kimmyai.io"]
}

run "functions_are_the_table_of_the_contract" {
  command = plan

  # Section 1 of the contract, written out: role = [memory, timeout].
  assert {
    condition = { for role, f in aws_lambda_function.role : role => [f.memory_size, f.timeout] } == {
      create_order                = [512, 30]
      get_order                   = [512, 30]
      list_orders                 = [512, 30]
      update_order                = [512, 30]
      order_creator_record        = [512, 30]
      order_pdf_creator           = [512, 60]
      order_internal_notifier     = [256, 30]
      customer_order_confirmation = [256, 30]
    }
    error_message = "A function's memory or timeout is not the contract's."
  }
  assert {
    condition     = alltrue([for f in aws_lambda_function.role : f.architectures == tolist(["arm64"])])
    error_message = "Every function runs on arm64."
  }
  assert {
    condition     = alltrue([for f in aws_lambda_function.role : f.image_uri == "123456789012.dkr.ecr.eu-west-1.amazonaws.com/orders@${var.image_digest}" && f.package_type == "Image"])
    error_message = "Every function runs the one image, by its digest."
  }
  assert {
    condition     = alltrue([for role, f in aws_lambda_function.role : f.publish && aws_lambda_alias.live[role].function_version == "7" && aws_lambda_alias.live[role].description == "before: 7"])
    error_message = "A new alias does not point to the version that was published, or does not say where to go back to."
  }
  assert {
    condition     = alltrue([for f in aws_lambda_function.role : f.description == "${var.image_tag} ${var.image_digest}" && length(f.description) <= 256])
    error_message = "A version does not tell the commit and the digest that it runs."
  }
  assert {
    condition     = alltrue([for role, group in aws_cloudwatch_log_group.function : group.retention_in_days == 90 && group.name == "/aws/lambda/${aws_lambda_function.role[role].function_name}"])
    error_message = "Every function has its own log group, kept for 90 days."
  }
  assert {
    condition     = alltrue([for f in aws_lambda_function.role : f.tracing_config[0].mode == "PassThrough"])
    error_message = "X-Ray is off unless it is asked for."
  }
}

run "functions_are_told_what_their_role_needs" {
  command = plan

  assert {
    condition = alltrue([for role, f in aws_lambda_function.role :
    toset(keys(f.environment[0].variables)) == setsubtract(local.roles[role].settings, ["AWS_REGION"])])
    error_message = "A function's variables are not its role's settings in roles.json: ${jsonencode({ for role, f in aws_lambda_function.role : role => keys(f.environment[0].variables) })}"
  }
  assert {
    condition     = alltrue([for role, f in aws_lambda_function.role : f.environment[0].variables.ROLE == role])
    error_message = "A function's ROLE is not its own."
  }
  assert {
    condition     = alltrue(flatten([for f in aws_lambda_function.role : [for value in values(f.environment[0].variables) : value != null && value != ""]]))
    error_message = "A setting is empty."
  }
  assert {
    condition = { for role, f in aws_lambda_function.role : role => f.environment[0].variables.SQS_QUEUE_URL if can(f.environment[0].variables.SQS_QUEUE_URL) } == {
      create_order                = "https://sqs/work-order_creator_record"
      order_creator_record        = "https://sqs/work-order_creator_record"
      order_pdf_creator           = "https://sqs/work-order_pdf_creator"
      order_internal_notifier     = "https://sqs/work-order_internal_notifier"
      customer_order_confirmation = "https://sqs/work-customer_order_confirmation"
    }
    error_message = "A role has another role's queue."
  }
  assert {
    condition     = aws_lambda_function.role["order_internal_notifier"].environment[0].variables.INTERNAL_NOTIFICATION_EMAIL == "orders@kimmyai.io,team@kimmyai.io"
    error_message = "The team's addresses are one text, with commas."
  }
}

run "queues_wait_long_enough_and_keep_what_fails" {
  command = plan

  assert {
    condition = { for role, queue in aws_sqs_queue.work : role => queue.name } == {
      order_creator_record        = "bbws-order-creation-dev"
      order_pdf_creator           = "bbws-order-pdf-dev"
      order_internal_notifier     = "bbws-order-internal-notify-dev"
      customer_order_confirmation = "bbws-order-customer-notify-dev"
    }
    error_message = "A queue's name is not the contract's."
  }
  assert {
    condition     = alltrue([for role, queue in aws_sqs_queue.work : queue.visibility_timeout_seconds >= 6 * aws_lambda_function.role[role].timeout])
    error_message = "A queue's visibility timeout is less than six times its function's timeout."
  }
  assert {
    condition     = alltrue([for role, queue in aws_sqs_queue.work : jsondecode(queue.redrive_policy) == { deadLetterTargetArn = aws_sqs_queue.dead[role].arn, maxReceiveCount = 3 }])
    error_message = "Every queue gives up after three receives, to its own dead-letter queue."
  }
  assert {
    condition     = alltrue([for role, queue in aws_sqs_queue.dead : queue.name == "${local.roles[role].queue}-dlq-dev"]) && aws_sqs_queue.events_dead.name == "bbws-order-events-dlq-dev"
    error_message = "A dead-letter queue is not named …-dlq-{env}."
  }
  assert {
    condition     = alltrue([for queue in concat(values(aws_sqs_queue.work), values(aws_sqs_queue.dead), [aws_sqs_queue.events_dead]) : queue.message_retention_seconds == 14 * 24 * 3600])
    error_message = "A queue does not keep its messages for 14 days."
  }
  assert {
    condition     = alltrue([for role, allowed in aws_sqs_queue_redrive_allow_policy.dead : jsondecode(allowed.redrive_allow_policy).sourceQueueArns == [aws_sqs_queue.work[role].arn]])
    error_message = "A dead-letter queue serves its own queue only."
  }
  assert {
    condition     = alltrue([for queue in concat(values(aws_sqs_queue.work), values(aws_sqs_queue.dead), [aws_sqs_queue.events_dead]) : queue.sqs_managed_sse_enabled])
    error_message = "Every queue is encrypted."
  }
  assert {
    condition = length(aws_sqs_queue_policy.all) == 9 && alltrue([for policy in aws_sqs_queue_policy.all :
    anytrue([for s in jsondecode(policy.policy).Statement : s.Effect == "Deny" && s.Principal == "*" && s.Action == "sqs:*" && s.Condition == { Bool = { "aws:SecureTransport" = "false" } }])])
    error_message = "Every queue refuses what does not come over TLS."
  }
  assert {
    condition     = length([for s in jsondecode(aws_sqs_queue_policy.all["order_creator_record"].policy).Statement : s if s.Effect == "Allow"]) == 0
    error_message = "Nobody but create_order, by its own rights, sends to the creation queue."
  }
}

run "batches_report_their_failures" {
  command = plan

  # Section 1 of the contract, written out: role = [batch, window, concurrency].
  assert {
    condition = { for role, m in aws_lambda_event_source_mapping.queue : role => [m.batch_size, m.maximum_batching_window_in_seconds, m.scaling_config[0].maximum_concurrency] } == {
      order_creator_record        = [10, 1, 5]
      order_pdf_creator           = [5, 1, 10]
      order_internal_notifier     = [10, 1, 5]
      customer_order_confirmation = [10, 1, 5]
    }
    error_message = "A batch's size, window or concurrency is not the contract's."
  }
  assert {
    condition     = alltrue([for m in aws_lambda_event_source_mapping.queue : m.function_response_types == toset(["ReportBatchItemFailures"])])
    error_message = "Without ReportBatchItemFailures one bad record fails its whole batch."
  }
  assert {
    condition     = alltrue([for role, m in aws_lambda_event_source_mapping.queue : m.event_source_arn == aws_sqs_queue.work[role].arn && m.function_name == aws_lambda_alias.live[role].arn])
    error_message = "A consumer is fed from its own queue."
  }
}

run "changes_leave_by_the_stream" {
  command = plan

  assert {
    condition     = aws_dynamodb_table.orders.stream_enabled && aws_dynamodb_table.orders.stream_view_type == "NEW_AND_OLD_IMAGES"
    error_message = "Without both images the record creator cannot tell new history entries from old ones."
  }
  assert {
    condition     = [aws_lambda_event_source_mapping.stream.event_source_arn, aws_lambda_event_source_mapping.stream.function_name] == [aws_dynamodb_table.orders.stream_arn, aws_lambda_alias.live["order_creator_record"].arn]
    error_message = "The stream of the table feeds the record creator."
  }
  assert {
    condition     = [aws_lambda_event_source_mapping.stream.batch_size, aws_lambda_event_source_mapping.stream.maximum_batching_window_in_seconds] == [100, 0]
    error_message = "The stream's batch or window is not the contract's."
  }
  assert {
    condition     = aws_lambda_event_source_mapping.stream.function_response_types == toset(["ReportBatchItemFailures"]) && aws_lambda_event_source_mapping.stream.bisect_batch_on_function_error
    error_message = "One record that cannot be published repeats or blocks its whole batch."
  }
  assert {
    condition     = aws_lambda_event_source_mapping.stream.maximum_retry_attempts == -1
    error_message = "Events are lost while SNS is away: tries are counted."
  }
  assert {
    condition     = aws_lambda_event_source_mapping.stream.maximum_record_age_in_seconds > 12 * 3600 && aws_lambda_event_source_mapping.stream.maximum_record_age_in_seconds < 24 * 3600
    error_message = "A record is given up before an outage of 12 h is over, or only when the stream has dropped it without a word."
  }
  assert {
    condition     = one(one(aws_lambda_event_source_mapping.stream.destination_config).on_failure).destination_arn == aws_sqs_queue.events_dead.arn
    error_message = "What Lambda gives up on is told to nobody."
  }
  assert {
    condition     = aws_lambda_event_source_mapping.stream.starting_position == "TRIM_HORIZON"
    error_message = "A mapping that is made anew skips what the stream still holds."
  }
  assert {
    condition     = jsondecode(one(one(aws_lambda_event_source_mapping.stream.filter_criteria).filter).pattern) == local.stream.filter
    error_message = "The stream's filter is not the one that is held to the store's items."
  }
}

run "events_reach_three_queues_raw_and_filtered" {
  command = plan

  assert {
    condition     = { for role, s in aws_sns_topic_subscription.events : role => s.endpoint } == { for role in ["order_pdf_creator", "order_internal_notifier", "customer_order_confirmation"] : role => aws_sqs_queue.work[role].arn }
    error_message = "The topic feeds the three consumers, and not the record creator that publishes to it."
  }
  assert {
    condition     = alltrue([for s in aws_sns_topic_subscription.events : s.raw_message_delivery && s.protocol == "sqs"])
    error_message = "Events are delivered raw."
  }
  # Sections 9 and 10 of the contract, written out.
  assert {
    condition = { for role, s in aws_sns_topic_subscription.events : role => jsondecode(s.filter_policy).eventType if s.filter_policy_scope == "MessageBody" } == {
      order_pdf_creator           = ["order.created", "order.paid", "order.refunded"]
      order_internal_notifier     = ["order.created", "order.paid", "order.cancelled", "order.refunded"]
      customer_order_confirmation = ["order.created", "order.paid", "order.completed", "order.cancelled", "order.refunded"]
    }
    error_message = "A queue gets other events than its consumer serves, or the filter does not look into the body."
  }
  assert {
    condition = alltrue([for role in keys(aws_sns_topic_subscription.events) :
    anytrue([for s in jsondecode(aws_sqs_queue_policy.all[role].policy).Statement : s.Resource == aws_sqs_queue.work[role].arn && s.Condition == { ArnEquals = { "aws:SourceArn" = aws_sns_topic.events.arn } } if s.Effect == "Allow"])])
    error_message = "A subscribed queue takes messages of this topic."
  }
  assert {
    condition     = aws_sns_topic.events.name == "bbws-order-events-dev" && aws_sns_topic.events.kms_master_key_id != null
    error_message = "The topic has its name and is encrypted."
  }
}

run "table_is_the_one_of_the_contract" {
  command = plan

  assert {
    condition     = aws_dynamodb_table.orders.name == "bbws-customer-portal-orders-dev" && aws_dynamodb_table.orders.billing_mode == "PAY_PER_REQUEST"
    error_message = "The table has its name and is on demand."
  }
  assert {
    condition     = { for i in aws_dynamodb_table.orders.global_secondary_index : i.name => [i.hash_key, i.range_key, i.projection_type] } == { OrdersByDateIndex = ["GSI1_PK", "GSI1_SK", "INCLUDE"], OrderByIdIndex = ["GSI2_PK", "GSI2_SK", "KEYS_ONLY"] }
    error_message = "The table has the two indexes of the contract, and they project no more than their readers need."
  }
  # What a list shows (section 3), and what it filters by.
  assert {
    condition     = one([for i in aws_dynamodb_table.orders.global_secondary_index : toset(i.non_key_attributes) if i.name == "OrdersByDateIndex"]) == toset(["id", "orderNumber", "status", "total", "currency", "dateCreated", "active"])
    error_message = "The list's index lacks what a list shows, or holds more."
  }
  assert {
    condition     = aws_dynamodb_table.orders.ttl[0].attribute_name == "expiresAt" && aws_dynamodb_table.orders.ttl[0].enabled && aws_dynamodb_table.orders.point_in_time_recovery[0].enabled && aws_dynamodb_table.orders.server_side_encryption[0].enabled
    error_message = "The table expires items, can be restored to any second, and is encrypted."
  }
}

run "buckets_are_closed" {
  command = plan

  assert {
    condition     = { for what, b in aws_s3_bucket.all : what => b.bucket } == { orders = "bbws-orders-dev", templates = "bbws-email-templates-dev" }
    error_message = "A bucket's name is not the contract's."
  }
  assert {
    condition     = toset(keys(aws_s3_bucket_public_access_block.all)) == toset(keys(aws_s3_bucket.all)) && alltrue([for b in aws_s3_bucket_public_access_block.all : b.block_public_acls && b.block_public_policy && b.ignore_public_acls && b.restrict_public_buckets])
    error_message = "A bucket is open to the public."
  }
  assert {
    condition = alltrue([for what, b in aws_s3_bucket.all :
    anytrue([for s in jsondecode(aws_s3_bucket_policy.all[what].policy).Statement : s.Effect == "Deny" && s.Action == "s3:*" && s.Resource == [b.arn, "${b.arn}/*"] && s.Condition == { Bool = { "aws:SecureTransport" = "false" } } if s.Sid == "TLSOnly"])])
    error_message = "A bucket takes requests without TLS."
  }
  assert {
    condition     = alltrue([for what in keys(aws_s3_bucket.all) : aws_s3_bucket_versioning.all[what].versioning_configuration[0].status == "Enabled" && one(one(aws_s3_bucket_server_side_encryption_configuration.all[what].rule).apply_server_side_encryption_by_default).sse_algorithm == "AES256"])
    error_message = "A bucket is not versioned or not encrypted."
  }
  # S3 refuses a rule that has both. The rules are a list, the size is in a
  # filter.
  assert {
    condition = alltrue(flatten([for bucket in [aws_s3_bucket_lifecycle_configuration.orders, aws_s3_bucket_lifecycle_configuration.templates] : [for rule in bucket.rule :
      length(rule.abort_incomplete_multipart_upload) == 0 || alltrue([for f in rule.filter : f.object_size_greater_than == 0 && f.object_size_less_than == 0 && length(f.tag) == 0 && length(f.and) == 0])
    ]]))
    error_message = "A lifecycle rule filters by size or tag and ends multipart uploads: S3 refuses it."
  }
  assert {
    condition     = anytrue([for rule in aws_s3_bucket_lifecycle_configuration.orders.rule : length(rule.abort_incomplete_multipart_upload) == 1]) && anytrue([for rule in aws_s3_bucket_lifecycle_configuration.orders.rule : length(rule.noncurrent_version_expiration) == 1])
    error_message = "Unfinished uploads or replaced versions are kept for ever."
  }
  assert {
    condition     = alltrue([for rule in aws_s3_bucket_lifecycle_configuration.orders.rule : length(rule.transition) == 0 && length(rule.expiration) == 0])
    error_message = "Documents move to a class that costs more than it saves, or end before their order does."
  }
  assert {
    condition     = length(setsubtract(["internal/order_notification.html", "customer/order_confirmation.html", "branding/company.json", "branding/logo.png"], keys(aws_s3_object.shipped))) == 0
    error_message = "The default templates and branding are uploaded; found ${jsonencode(keys(aws_s3_object.shipped))}."
  }
}

run "rights_are_the_least" {
  command = plan

  # What each role may call; consumers also take from their queue, and all write
  # their log.
  assert {
    condition = { for role, policy in aws_iam_role_policy.function : role => join(" ", sort(distinct([
      for action in flatten([for s in jsondecode(policy.policy).Statement : s.Action]) : action
      if !contains(["logs:CreateLogStream", "logs:PutLogEvents", "sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ChangeMessageVisibility"], action)
      ]))) } == {
      create_order                = "dynamodb:GetItem dynamodb:PutItem dynamodb:UpdateItem sqs:SendMessage"
      get_order                   = "dynamodb:GetItem dynamodb:Query s3:GetObject"
      list_orders                 = "dynamodb:GetItem dynamodb:Query"
      update_order                = "dynamodb:GetItem dynamodb:Query dynamodb:UpdateItem s3:GetObject"
      order_creator_record        = "dynamodb:DescribeStream dynamodb:GetItem dynamodb:GetRecords dynamodb:GetShardIterator dynamodb:ListStreams dynamodb:PutItem dynamodb:UpdateItem sns:Publish sqs:SendMessage"
      order_pdf_creator           = "dynamodb:ConditionCheckItem dynamodb:GetItem dynamodb:PutItem dynamodb:UpdateItem s3:GetObject s3:ListBucket s3:PutObject sqs:SendMessage"
      order_internal_notifier     = "dynamodb:GetItem dynamodb:UpdateItem s3:GetObject s3:ListBucket ses:SendEmail sqs:SendMessage"
      customer_order_confirmation = "dynamodb:GetItem dynamodb:UpdateItem s3:GetObject s3:ListBucket ses:SendEmail sqs:SendMessage"
    }
    error_message = "A role's rights changed: ${jsonencode({ for role, policy in aws_iam_role_policy.function : role => distinct(flatten([for s in jsondecode(policy.policy).Statement : s.Action])) })}"
  }
  assert {
    condition     = alltrue(flatten([for policy in aws_iam_role_policy.function : [for s in jsondecode(policy.policy).Statement : [for resource in flatten([s.Resource]) : resource != "*"]]]))
    error_message = "A right is for every resource."
  }
  assert {
    condition = alltrue([for role, policy in aws_iam_role_policy.function :
    [for s in jsondecode(policy.policy).Statement : s.Resource if s.Sid == "Consume"] == [for name, queue in aws_sqs_queue.work : queue.arn if name == role]])
    error_message = "A consumer may take from another's queue."
  }
  # A consumer's own queue is where a message waits for a neighbour that is
  # down.
  assert {
    condition = { for role, policy in aws_iam_role_policy.function : role => join(" ", sort(flatten([for s in jsondecode(policy.policy).Statement : split(":", s.Resource)[5] if contains(flatten([s.Action]), "sqs:SendMessage")]))) } == {
      create_order                = "work-order_creator_record"
      get_order                   = ""
      list_orders                 = ""
      update_order                = ""
      order_creator_record        = "dead-events work-order_creator_record"
      order_pdf_creator           = "work-order_pdf_creator"
      order_internal_notifier     = "work-order_internal_notifier"
      customer_order_confirmation = "work-customer_order_confirmation"
    }
    error_message = "A role may send to a queue that is not its own to fill."
  }
  assert {
    condition     = toset(regexall("\\w+:Delete\\w*", join(" ", [for policy in aws_iam_role_policy.function : policy.policy]))) == toset(["sqs:DeleteMessage"])
    error_message = "A role may delete something other than the messages it has handled."
  }
  assert {
    condition     = alltrue([for role in ["order_internal_notifier", "customer_order_confirmation"] : one([for s in jsondecode(aws_iam_role_policy.function[role].policy).Statement : s.Condition.StringEquals["ses:FromAddress"] if s.Sid == "Send"]) == "test@kimmyai.io"])
    error_message = "Mail is sent as one address only."
  }
}

run "dkim_records_are_the_regions" {
  command = plan

  assert {
    condition     = output.mail_dns == { for token in ["one", "two", "three"] : "${token}._domainkey.kimmyai.io" => "${token}.dkim.amazonses.com" }
    error_message = "In eu-west-1 the DKIM records point to dkim.amazonses.com."
  }
}

run "dkim_records_are_those_of_cape_town" {
  command = plan

  override_data {
    target = data.aws_region.this
    values = { region = "af-south-1" }
  }

  assert {
    condition     = output.mail_dns == { for token in ["one", "two", "three"] : "${token}._domainkey.kimmyai.io" => "${token}.dkim.af-south-1.amazonses.com" }
    error_message = "In af-south-1 the DKIM records point to a zone of the region: others never verify, and no mail goes out."
  }
}

run "tracing_comes_with_its_rights" {
  command = plan
  variables {
    enable_xray = true
  }

  assert {
    condition     = alltrue([for role, f in aws_lambda_function.role : f.tracing_config[0].mode == "Active" && f.environment[0].variables.ENABLE_XRAY == "true"]) && aws_api_gateway_stage.live.xray_tracing_enabled
    error_message = "The flag turns tracing on everywhere."
  }
  assert {
    condition     = alltrue([for policy in aws_iam_role_policy.function : anytrue([for s in jsondecode(policy.policy).Statement : s.Sid == "Trace"])])
    error_message = "Every role may write traces."
  }
}

run "api_is_the_contract" {
  command = plan

  assert {
    condition = { for role, row in local.api_roles : role =>
    jsondecode(aws_api_gateway_rest_api.orders.body).paths[row.path][lower(row.method)]["x-amazon-apigateway-integration"].uri } == { for role in keys(local.api_roles) : role => aws_lambda_alias.live[role].invoke_arn }
    error_message = "A route of the contract goes to another role's function."
  }
  assert {
    condition = alltrue(flatten([for path in values(jsondecode(aws_api_gateway_rest_api.orders.body).paths) : [for method, operation in path :
    length(operation.security) > 0 if contains(["get", "post", "put", "patch", "delete"], method)]]))
    error_message = "A route can be called without a token."
  }
  assert {
    condition     = anytrue([for scheme in values(jsondecode(aws_api_gateway_rest_api.orders.body).components.securitySchemes) : try(scheme["x-amazon-apigateway-authorizer"].providerARNs == [aws_cognito_user_pool.customers.arn], false)])
    error_message = "Tokens are checked against the service's own pool."
  }
  assert {
    condition = { for role, p in aws_lambda_permission.api : role => p.source_arn } == {
      create_order = "arn:aws:execute-api:eu-west-1:123456789012:api0000000/*/POST/v1.0/orders"
      get_order    = "arn:aws:execute-api:eu-west-1:123456789012:api0000000/*/GET/v1.0/orders/*"
      list_orders  = "arn:aws:execute-api:eu-west-1:123456789012:api0000000/*/GET/v1.0/tenants/*/orders"
      update_order = "arn:aws:execute-api:eu-west-1:123456789012:api0000000/*/PUT/v1.0/orders/*"
    }
    error_message = "The API may call a function by its own route only."
  }
  assert {
    condition     = aws_api_gateway_method_settings.all.settings[0].throttling_rate_limit > 0 && aws_api_gateway_method_settings.all.settings[0].throttling_burst_limit > 0 && !aws_api_gateway_method_settings.all.settings[0].data_trace_enabled
    error_message = "The stage limits the rate and logs no bodies."
  }
  assert {
    condition     = one([for rule in jsondecode(aws_wafv2_web_acl.api.rule_json) : rule.Statement.SizeConstraintStatement.Size if rule.Name == "BodySize"]) == 65536
    error_message = "A body has at most 64 KiB."
  }
  assert {
    condition = { for rule in jsondecode(aws_wafv2_web_acl.api.rule_json) : rule.Name => try([rule.Statement.RateBasedStatement.AggregateKeyType, rule.Statement.RateBasedStatement.CustomKeys[0].Header.Name], [rule.Statement.RateBasedStatement.AggregateKeyType]) if can(rule.Statement.RateBasedStatement) } == {
      AddressRate = ["IP"]
      TokenRate   = ["CUSTOM_KEYS", "authorization"]
    }
    error_message = "The firewall limits the rate of an address and of a token."
  }
  assert {
    condition     = length(distinct([for rule in jsondecode(aws_wafv2_web_acl.api.rule_json) : rule.Priority])) == length(jsondecode(aws_wafv2_web_acl.api.rule_json))
    error_message = "Two rules of the firewall have the same priority: WAF refuses them."
  }
  assert {
    condition     = length(aws_api_gateway_stage.live.access_log_settings) == 1
    error_message = "The stage writes an access log."
  }
}

run "tenant_is_not_the_users_to_choose" {
  command = plan

  assert {
    condition     = alltrue([for a in aws_cognito_user_pool.customers.schema : a.name == "tenantId" && a.mutable == false])
    error_message = "The tenant is set once."
  }
  assert {
    condition     = toset(aws_cognito_user_pool_client.portal.write_attributes) == toset(["name"])
    error_message = "A user may write their tenant, or an address that nobody has verified."
  }
  assert {
    condition     = one(aws_cognito_user_pool.customers.user_attribute_update_settings).attributes_require_verification_before_update == toset(["email"])
    error_message = "A new address counts before its owner has proved it."
  }
  assert {
    condition     = contains(aws_cognito_user_pool_client.portal.read_attributes, "custom:tenantId")
    error_message = "A user may read their tenant and not write it."
  }
  assert {
    condition     = one(aws_cognito_user_pool.customers.admin_create_user_config).allow_admin_create_user_only
    error_message = "Nobody signs up by themselves: they would choose their tenant."
  }
  assert {
    condition     = aws_cognito_user_group.admin.name == "admin" && aws_lambda_function.role["update_order"].environment[0].variables.PAYMENT_GROUP == "payments" && aws_cognito_user_group.payments.name == "payments"
    error_message = "Administrators are the group admin, and payments are set by the group payments."
  }
}

run "bounces_are_seen" {
  command = plan

  assert {
    condition     = alltrue([for kind in ["BOUNCE", "COMPLAINT"] : contains(one(aws_sesv2_configuration_set_event_destination.messages.event_destination).matching_event_types, kind)])
    error_message = "A bounce or a complaint goes unseen."
  }
  assert {
    condition     = aws_sns_topic_subscription.mail_events.endpoint == aws_sqs_queue.mail_events.arn && aws_sns_topic_subscription.mail_events.protocol == "sqs" && one([for s in jsondecode(aws_sqs_queue_policy.mail_events.policy).Statement : s.Principal.Service if s.Effect == "Allow"]) == "sns.amazonaws.com"
    error_message = "Nobody receives bounces and complaints: SES drops mail silently from then on."
  }
  assert {
    condition     = aws_sesv2_email_identity.domain[0].email_identity == "kimmyai.io"
    error_message = "The sender's domain is an identity of SES."
  }
}

run "protection_keeps_what_cannot_be_made_again" {
  command = plan
  variables {
    environment = "prod"
    protected   = true
    alerts      = { page = ["https://pager.example.com/orders"], ticket = ["orders@example.com"] }

    backup_copy_vault_arn = "arn:aws:backup:eu-west-1:210987654321:backup-vault:orders"
  }

  assert {
    condition     = aws_dynamodb_table.orders.deletion_protection_enabled && aws_cognito_user_pool.customers.deletion_protection == "ACTIVE"
    error_message = "A protected environment's table and pool refuse to be deleted."
  }
  assert {
    condition     = anytrue([for s in jsondecode(aws_s3_bucket_policy.all["orders"].policy).Statement : s.Effect == "Deny" && contains(s.Action, "s3:DeleteObjectVersion") && toset(s.Resource) == toset(["arn:aws:s3:::orders/*_tax_invoice.pdf", "arn:aws:s3:::orders/*_credit_note.pdf"]) if s.Sid == "LegalDocumentsAreKept"])
    error_message = "A protected environment's legal documents can be deleted, or a pro forma cannot be erased."
  }
  assert {
    condition     = { for key, s in aws_sns_topic_subscription.alerts : key => s.protocol } == { "page https://pager.example.com/orders" = "https", "ticket orders@example.com" = "email" }
    error_message = "Pages and tickets go to different people."
  }
  assert {
    condition     = one(one(aws_backup_plan.service[0].rule).copy_action).destination_vault_arn == var.backup_copy_vault_arn && toset(aws_backup_selection.service[0].resources) == toset([aws_dynamodb_table.orders.arn, "arn:aws:s3:::orders", "arn:aws:s3:::templates"])
    error_message = "Table and buckets are not copied to another account."
  }
  assert {
    condition     = !aws_ecr_repository.service.force_delete && alltrue([for b in aws_s3_bucket.all : !b.force_destroy])
    error_message = "Images and objects do not go with their repository or bucket."
  }
}

run "images_are_scanned_and_fixed" {
  command = plan

  assert {
    condition     = one(aws_ecr_repository.service.image_scanning_configuration).scan_on_push && aws_ecr_repository.service.image_tag_mutability == "IMMUTABLE"
    error_message = "Images are scanned, and a tag stays what it was."
  }
}

run "own_domain_replaces_the_default_one" {
  command = plan
  variables {
    api_domain = { name = "orders.example.com", certificate_arn = "arn:aws:acm:eu-west-1:123456789012:certificate/00000000-0000-4000-8000-000000000000" }
  }

  assert {
    condition     = output.api_url == "https://orders.example.com" && aws_api_gateway_rest_api.orders.disable_execute_api_endpoint && length(aws_api_gateway_base_path_mapping.api) == 1
    error_message = "With a name of its own the API answers under it only."
  }
}

run "shared_account_is_set_up_once" {
  command = plan
  variables {
    account_settings = false
    mail_recipients  = ["someone@example.com"]
  }

  assert {
    condition     = length(aws_api_gateway_account.this) == 0 && length(aws_sesv2_email_identity.domain) == 0
    error_message = "Another environment owns the account's settings."
  }
  assert {
    condition     = anytrue([for s in jsondecode(aws_iam_role_policy.function["customer_order_confirmation"].policy).Statement : contains(s.Resource, "arn:aws:ses:eu-west-1:123456789012:identity/someone@example.com") if s.Sid == "Send"])
    error_message = "In the sandbox SES asks for a right on the recipient too."
  }
}

run "mistakes_are_refused" {
  command = plan
  variables {
    environment = "live"
    image_tag   = "latest"
    protected   = true

    backup_copy_vault_arn = "the-other-account"
    image_digest          = "latest"
    log_level             = "TRACE"
    tax_rate              = "15%"
    mail_from             = "Orders <test@kimmyai.io>"
    mail_internal         = []
  }
  expect_failures = [var.environment, var.image_tag, var.alerts, var.backup_copy_vault_arn, var.image_digest, var.log_level, var.tax_rate, var.mail_from, var.mail_internal]
}
