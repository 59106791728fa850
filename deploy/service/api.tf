# The REST API is the contract itself, roles/openapi.yaml, with what only AWS
# knows filled in.

locals {
  contract = jsonencode(yamldecode(templatefile("${path.module}/../../roles/openapi.yaml", {
    user_pool_arn       = aws_cognito_user_pool.customers.arn
    invoke_arns         = { for name in keys(local.api_roles) : name => aws_lambda_alias.live[name].invoke_arn }
    cors_allowed_origin = var.cors_allowed_origin
  })))
}

resource "aws_api_gateway_rest_api" "orders" {
  name                         = local.names.prefix
  body                         = local.contract
  put_rest_api_mode            = "overwrite"
  disable_execute_api_endpoint = var.api_domain != null

  endpoint_configuration {
    types = ["REGIONAL"]
  }
}

resource "aws_api_gateway_deployment" "orders" {
  rest_api_id = aws_api_gateway_rest_api.orders.id
  triggers    = { contract = sha1(aws_api_gateway_rest_api.orders.body) }

  lifecycle {
    create_before_destroy = true # the stage points to one until it points to the next
  }
}

resource "aws_api_gateway_stage" "live" {
  rest_api_id          = aws_api_gateway_rest_api.orders.id
  deployment_id        = aws_api_gateway_deployment.orders.id
  stage_name           = var.environment
  xray_tracing_enabled = var.enable_xray

  access_log_settings {
    destination_arn = aws_cloudwatch_log_group.api.arn
    format = jsonencode({
      requestId          = "$context.requestId"
      extendedRequestId  = "$context.extendedRequestId"
      traceId            = "$context.xrayTraceId"
      time               = "$context.requestTime"
      ip                 = "$context.identity.sourceIp"
      caller             = "$context.authorizer.claims.sub"
      method             = "$context.httpMethod"
      route              = "$context.resourcePath"
      status             = "$context.status"
      error              = "$context.error.message"
      errorType          = "$context.error.responseType"
      firewall           = "$context.wafResponseCode"
      responseLength     = "$context.responseLength"
      latency            = "$context.responseLatency"
      integrationLatency = "$context.integrationLatency"
      integrationStatus  = "$context.integration.status"
    })
  }

  depends_on = [aws_api_gateway_account.this]
}

resource "aws_cloudwatch_log_group" "api" {
  name              = "/aws/apigateway/${local.names.prefix}"
  retention_in_days = var.log_retention_days
}

# What the authorizer and the functions refuse, which the metric 4XXError mixes
# with every not found.
resource "aws_cloudwatch_log_metric_filter" "refused" {
  name           = "${local.names.prefix}-refused"
  log_group_name = aws_cloudwatch_log_group.api.name
  pattern        = "{ $.status = \"401\" || $.status = \"403\" }"

  metric_transformation {
    namespace     = "OrderService/${var.environment}" # a filter gives no fixed dimensions
    name          = "Refused"
    value         = "1"
    default_value = "0"
  }
}

resource "aws_api_gateway_method_settings" "all" {
  rest_api_id = aws_api_gateway_rest_api.orders.id
  stage_name  = aws_api_gateway_stage.live.stage_name
  method_path = "*/*"

  settings {
    metrics_enabled        = true  # by route: the latency alarms need it
    logging_level          = "OFF" # the access log and the functions' own say it better; execution logs would hold bodies
    data_trace_enabled     = false
    throttling_rate_limit  = var.api_rate
    throttling_burst_limit = var.api_burst
  }
}

# --- the firewall: what a REST API cannot limit by itself ---------------------
#
# A body's size, and the rate of an address and of a token. The rate of a token
# counts too what comes from many addresses; the rate of an address counts what
# comes without a token or with many. A tenant needs no limit of its own behind
# the API: fair queues (MessageGroupId) let the others' messages pass.

locals {
  max_body = 64 * 1024
}

resource "aws_wafv2_web_acl" "api" {
  name        = local.names.prefix
  description = "Size of bodies and rate of addresses and tokens of the order API"
  scope       = "REGIONAL"

  default_action {
    allow {}
  }

  # In the shape of the service's own errors.
  dynamic "custom_response_body" {
    for_each = {
      too_large = { code = "invalid_request", error = "Bad Request", message = "The body is larger than 64 KiB." }
      too_many  = { code = "gateway_refused", error = "Too Many Requests", message = "Too many requests; try again later." }
    }
    content {
      key          = custom_response_body.key
      content_type = "APPLICATION_JSON"
      content      = jsonencode(merge({ success = false }, custom_response_body.value))
    }
  }

  association_config {
    request_body {
      api_gateway {
        default_size_inspection_limit = "KB_64" # so that a body of the size that is allowed is seen whole
      }
    }
  }

  # As JSON because the provider's schema for statements nests too deep to be
  # read.
  rule_json = jsonencode([
    {
      Name     = "BodySize"
      Priority = 0
      Action   = { Block = { CustomResponse = { ResponseCode = 400, CustomResponseBodyKey = "too_large", ResponseHeaders = local.block_headers } } }
      Statement = {
        SizeConstraintStatement = {
          FieldToMatch        = { Body = { OversizeHandling = "MATCH" } }
          ComparisonOperator  = "GT"
          Size                = local.max_body
          TextTransformations = [{ Priority = 0, Type = "NONE" }]
        }
      }
      VisibilityConfig = { SampledRequestsEnabled = false, CloudWatchMetricsEnabled = true, MetricName = "BodySize" }
    },
    {
      Name     = "AddressRate"
      Priority = 1
      Action   = { Block = { CustomResponse = { ResponseCode = 429, CustomResponseBodyKey = "too_many", ResponseHeaders = local.block_headers } } }
      Statement = {
        RateBasedStatement = { Limit = var.api_rate_per_address, EvaluationWindowSec = 300, AggregateKeyType = "IP" }
      }
      VisibilityConfig = { SampledRequestsEnabled = false, CloudWatchMetricsEnabled = true, MetricName = "AddressRate" }
    },
    {
      Name     = "TokenRate"
      Priority = 2
      Action   = { Block = { CustomResponse = { ResponseCode = 429, CustomResponseBodyKey = "too_many", ResponseHeaders = local.block_headers } } }
      Statement = {
        RateBasedStatement = {
          Limit               = var.api_rate_per_token
          EvaluationWindowSec = 300
          AggregateKeyType    = "CUSTOM_KEYS"
          CustomKeys          = [{ Header = { Name = "authorization", TextTransformations = [{ Priority = 0, Type = "NONE" }] } }]
        }
      }
      VisibilityConfig = { SampledRequestsEnabled = false, CloudWatchMetricsEnabled = true, MetricName = "TokenRate" }
    },
  ])

  visibility_config {
    cloudwatch_metrics_enabled = true
    metric_name                = local.names.prefix
    sampled_requests_enabled   = false # samples hold tokens
  }
}

locals {
  block_headers = [
    { Name = "Access-Control-Allow-Origin", Value = var.cors_allowed_origin },
    { Name = "Cache-Control", Value = "no-store" },
  ]
}

resource "aws_wafv2_web_acl_association" "api" {
  resource_arn = aws_api_gateway_stage.live.arn
  web_acl_arn  = aws_wafv2_web_acl.api.arn
}

# --- the API's own name -------------------------------------------------------

resource "aws_api_gateway_domain_name" "api" {
  count = var.api_domain == null ? 0 : 1

  domain_name              = var.api_domain.name
  regional_certificate_arn = var.api_domain.certificate_arn
  security_policy          = "TLS_1_2"

  endpoint_configuration {
    types = ["REGIONAL"]
  }
}

resource "aws_api_gateway_base_path_mapping" "api" {
  count = var.api_domain == null ? 0 : 1

  api_id      = aws_api_gateway_rest_api.orders.id
  stage_name  = aws_api_gateway_stage.live.stage_name
  domain_name = aws_api_gateway_domain_name.api[0].domain_name
}

# --- what an account has once in a region -------------------------------------

resource "aws_api_gateway_account" "this" {
  count = var.account_settings ? 1 : 0

  cloudwatch_role_arn = aws_iam_role.api_logs[0].arn

  depends_on = [aws_iam_role_policy_attachment.api_logs]
}

resource "aws_iam_role" "api_logs" {
  count = var.account_settings ? 1 : 0

  name        = "api-gateway-logs-${local.region}"
  description = "API Gateway writes its logs"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "apigateway.amazonaws.com" }
      Action    = "sts:AssumeRole"
    }]
  })
}

resource "aws_iam_role_policy_attachment" "api_logs" {
  count = var.account_settings ? 1 : 0

  role       = aws_iam_role.api_logs[0].name
  policy_arn = "arn:aws:iam::aws:policy/service-role/AmazonAPIGatewayPushToCloudWatchLogs"
}
