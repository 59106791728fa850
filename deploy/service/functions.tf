# The eight functions: one image, eight values of ROLE, everything else from
# roles.json.

locals {
  function_names = { for role in keys(local.roles) : role => "bbws-${replace(role, "_", "-")}-${var.environment}" }

  # Every setting that any role may ask for. AWS_REGION is not among them:
  # Lambda sets it and refuses to have it set.
  settings = {
    ENVIRONMENT                 = var.environment
    LOG_LEVEL                   = var.log_level
    ENABLE_XRAY                 = tostring(var.enable_xray)
    DYNAMODB_TABLE_NAME         = aws_dynamodb_table.orders.name
    ORDER_EVENTS_TOPIC_ARN      = aws_sns_topic.events.arn
    CART_LAMBDA_API_URL         = local.cart_url
    TAX_RATE                    = var.tax_rate
    S3_ORDERS_BUCKET            = aws_s3_bucket.all["orders"].bucket
    S3_EMAIL_TEMPLATES_BUCKET   = aws_s3_bucket.all["templates"].bucket
    SES_FROM_ADDRESS            = var.mail_from
    SES_REPLY_TO_ADDRESS        = var.mail_reply_to
    SES_CONFIGURATION_SET       = aws_sesv2_configuration_set.mail.configuration_set_name
    INTERNAL_NOTIFICATION_EMAIL = join(",", var.mail_internal)
    ADMIN_PORTAL_URL            = var.admin_portal_url
    CUSTOMER_PORTAL_URL         = var.customer_portal_url
    CORS_ALLOWED_ORIGIN         = var.cors_allowed_origin
    PAYMENT_GROUP               = aws_cognito_user_group.payments.name
  }

  # The queue that a role sends to or is fed from.
  queue_urls = merge(
    { create_order = aws_sqs_queue.work[local.recorder].url },
    { for name, queue in aws_sqs_queue.work : name => queue.url },
  )

  # Exactly what the role's row names. A setting that is unknown here stops the
  # plan.
  environments = {
    for name, role in local.roles : name => {
      for setting in role.settings : setting => merge(local.settings, {
        ROLE          = name
        SQS_QUEUE_URL = lookup(local.queue_urls, name, null)
      })[setting] if setting != "AWS_REGION"
    }
  }
}

resource "aws_cloudwatch_log_group" "function" {
  for_each = local.roles

  name              = "/aws/lambda/${local.function_names[each.key]}"
  retention_in_days = var.log_retention_days
}

resource "aws_lambda_function" "role" {
  for_each = local.roles

  function_name = local.function_names[each.key]
  description   = "${var.image_tag} ${var.image_digest}" # kept with each version: what an alias runs can be told from it
  role          = aws_iam_role.function[each.key].arn
  package_type  = "Image"
  image_uri     = "${aws_ecr_repository.service.repository_url}@${var.image_digest}"
  architectures = ["arm64"]
  memory_size   = each.value.memory
  timeout       = each.value.timeout
  publish       = true # image and settings together are a version

  environment {
    variables = local.environments[each.key]
  }

  tracing_config {
    mode = var.enable_xray ? "Active" : "PassThrough"
  }

  # Text means that Lambda passes the binary's own JSON lines on as they are,
  # and that Logs Insights finds @duration, @initDuration and @maxMemoryUsed in
  # the report lines.
  logging_config {
    log_format = "Text"
    log_group  = aws_cloudwatch_log_group.function[each.key].name
  }

  # A function that starts before its rights are there fails its first messages.
  depends_on = [aws_iam_role_policy.function, aws_ecr_repository_policy.service]
}

# What the API, the queues and the stream call. Terraform makes it once;
# afterwards deploy/rollout.sh moves it, a tenth first, with the alarms as
# brake. So an apply moves no traffic, and a plan shows nothing while a rollout
# is under way.
resource "aws_lambda_alias" "live" {
  for_each = local.roles

  name             = "live"
  description      = "before: ${aws_lambda_function.role[each.key].version}" # where rollout.sh back goes
  function_name    = aws_lambda_function.role[each.key].function_name
  function_version = aws_lambda_function.role[each.key].version

  lifecycle {
    ignore_changes = [description, function_version, routing_config]
  }
}

resource "aws_lambda_event_source_mapping" "queue" {
  for_each = local.consumers

  event_source_arn                   = aws_sqs_queue.work[each.key].arn
  function_name                      = aws_lambda_alias.live[each.key].arn
  batch_size                         = each.value.batchSize
  maximum_batching_window_in_seconds = each.value.batchWindow
  function_response_types            = ["ReportBatchItemFailures"]

  scaling_config {
    maximum_concurrency = each.value.maxConcurrency
  }
}

# The record creator's second source: the table's stream, of which it publishes
# the new history entries.
resource "aws_lambda_event_source_mapping" "stream" {
  event_source_arn                   = aws_dynamodb_table.orders.stream_arn
  function_name                      = aws_lambda_alias.live[local.recorder].arn
  batch_size                         = local.stream.batchSize
  maximum_batching_window_in_seconds = local.stream.batchWindow
  function_response_types            = ["ReportBatchItemFailures"]

  # A mapping that is made anew begins with what the stream still holds: events
  # come twice rather than not at all.
  starting_position = "TRIM_HORIZON"

  filter_criteria {
    filter {
      pattern = jsonencode(local.stream.filter)
    }
  }

  # While SNS is away a batch comes again without an end; one that kills the
  # function is halved until the record stands alone. The stream keeps records
  # for 24 hours: one hour before, Lambda gives up on them and says so to the
  # queue, or they would vanish without a word.
  bisect_batch_on_function_error = true
  maximum_retry_attempts         = -1
  maximum_record_age_in_seconds  = 23 * 3600

  destination_config {
    on_failure {
      destination_arn = aws_sqs_queue.events_dead.arn
    }
  }
}

resource "aws_lambda_permission" "api" {
  for_each = local.api_roles

  statement_id  = "TheRouteOfTheAPI"
  action        = "lambda:InvokeFunction"
  function_name = aws_lambda_function.role[each.key].function_name
  qualifier     = aws_lambda_alias.live[each.key].name
  principal     = "apigateway.amazonaws.com"
  # One route; its parameters are stars here.
  source_arn = "${aws_api_gateway_rest_api.orders.execution_arn}/*/${each.value.method}${replace(each.value.path, "/{[^}]+}/", "*")}"
}
