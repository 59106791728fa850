# What AWS would answer, as far as the plan depends on it. Values that are the
# same for every queue or function would hide a mix-up, so those that matter are
# given one by one below.

mock_data "aws_caller_identity" {
  defaults = { account_id = "123456789012" }
}
mock_data "aws_region" {
  defaults = { region = "eu-west-1" }
}
mock_resource "aws_api_gateway_rest_api" {
  defaults = {
    id            = "api0000000"
    execution_arn = "arn:aws:execute-api:eu-west-1:123456789012:api0000000"
  }
}
mock_resource "aws_api_gateway_stage" {
  defaults = {
    arn        = "arn:aws:apigateway:eu-west-1::/restapis/api0000000/stages/dev"
    invoke_url = "https://api0000000.execute-api.eu-west-1.amazonaws.com/dev"
  }
}
mock_resource "aws_cloudwatch_log_group" {
  defaults = { arn = "arn:aws:logs:eu-west-1:123456789012:log-group:mock" }
}
mock_resource "aws_cloudwatch_metric_alarm" {
  defaults = { arn = "arn:aws:cloudwatch:eu-west-1:123456789012:alarm:mock" }
}
mock_resource "aws_cognito_user_pool" {
  defaults = {
    id  = "eu-west-1_mock"
    arn = "arn:aws:cognito-idp:eu-west-1:123456789012:userpool/eu-west-1_mock"
  }
}
mock_resource "aws_dynamodb_table" {
  defaults = {
    arn        = "arn:aws:dynamodb:eu-west-1:123456789012:table/orders"
    stream_arn = "arn:aws:dynamodb:eu-west-1:123456789012:table/orders/stream/2026-01-01T00:00:00.000"
  }
}
mock_resource "aws_ecr_repository" {
  defaults = { repository_url = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/orders" }
}
mock_resource "aws_iam_role" {
  defaults = { arn = "arn:aws:iam::123456789012:role/mock" }
}
mock_resource "aws_kms_key" {
  defaults = { arn = "arn:aws:kms:eu-west-1:123456789012:key/00000000-0000-4000-8000-000000000000" }
}
mock_resource "aws_lambda_function" {
  defaults = {
    arn     = "arn:aws:lambda:eu-west-1:123456789012:function:mock"
    version = "7"
  }
}
mock_resource "aws_lambda_alias" {
  defaults = {
    arn        = "arn:aws:lambda:eu-west-1:123456789012:function:mock:live"
    invoke_arn = "arn:aws:apigateway:eu-west-1:lambda:path/2015-03-31/functions/arn:aws:lambda:eu-west-1:123456789012:function:mock:live/invocations"
  }
}
mock_resource "aws_s3_bucket" {
  defaults = {
    id  = "bucket"
    arn = "arn:aws:s3:::bucket"
  }
}
mock_resource "aws_sesv2_configuration_set" {
  defaults = { arn = "arn:aws:ses:eu-west-1:123456789012:configuration-set/mock" }
}
mock_resource "aws_s3_bucket_lifecycle_configuration" {
  defaults = { rule = { filter = { object_size_greater_than = 0, object_size_less_than = 0, prefix = "" } } }
}
mock_resource "aws_sesv2_email_identity" {
  defaults = { dkim_signing_attributes = { tokens = ["one", "two", "three"] } }
}
mock_resource "aws_backup_vault" {
  defaults = { arn = "arn:aws:backup:eu-west-1:123456789012:backup-vault:mock" }
}
mock_resource "aws_sns_topic" {
  defaults = { arn = "arn:aws:sns:eu-west-1:123456789012:events" }
}
mock_resource "aws_sqs_queue" {
  defaults = {
    arn = "arn:aws:sqs:eu-west-1:123456789012:mock"
    url = "https://sqs.eu-west-1.amazonaws.com/123456789012/mock"
  }
}
mock_resource "aws_wafv2_web_acl" {
  defaults = { arn = "arn:aws:wafv2:eu-west-1:123456789012:regional/webacl/mock/00000000-0000-4000-8000-000000000000" }
}

override_resource {
  target = aws_sqs_queue.work["order_creator_record"]
  values = { arn = "arn:aws:sqs:eu-west-1:123456789012:work-order_creator_record", url = "https://sqs/work-order_creator_record" }
}
override_resource {
  target = aws_sqs_queue.dead["order_creator_record"]
  values = { arn = "arn:aws:sqs:eu-west-1:123456789012:dead-order_creator_record", url = "https://sqs/dead-order_creator_record" }
}
override_resource {
  target = aws_sqs_queue.work["order_pdf_creator"]
  values = { arn = "arn:aws:sqs:eu-west-1:123456789012:work-order_pdf_creator", url = "https://sqs/work-order_pdf_creator" }
}
override_resource {
  target = aws_sqs_queue.dead["order_pdf_creator"]
  values = { arn = "arn:aws:sqs:eu-west-1:123456789012:dead-order_pdf_creator", url = "https://sqs/dead-order_pdf_creator" }
}
override_resource {
  target = aws_sqs_queue.work["order_internal_notifier"]
  values = { arn = "arn:aws:sqs:eu-west-1:123456789012:work-order_internal_notifier", url = "https://sqs/work-order_internal_notifier" }
}
override_resource {
  target = aws_sqs_queue.dead["order_internal_notifier"]
  values = { arn = "arn:aws:sqs:eu-west-1:123456789012:dead-order_internal_notifier", url = "https://sqs/dead-order_internal_notifier" }
}
override_resource {
  target = aws_sqs_queue.work["customer_order_confirmation"]
  values = { arn = "arn:aws:sqs:eu-west-1:123456789012:work-customer_order_confirmation", url = "https://sqs/work-customer_order_confirmation" }
}
override_resource {
  target = aws_sqs_queue.dead["customer_order_confirmation"]
  values = { arn = "arn:aws:sqs:eu-west-1:123456789012:dead-customer_order_confirmation", url = "https://sqs/dead-customer_order_confirmation" }
}
override_resource {
  target = aws_lambda_alias.live["create_order"]
  values = { arn = "arn:aws:lambda:eu-west-1:123456789012:function:create_order:live", invoke_arn = "arn:aws:apigateway:eu-west-1:lambda:path/create_order:live" }
}
override_resource {
  target = aws_lambda_alias.live["get_order"]
  values = { arn = "arn:aws:lambda:eu-west-1:123456789012:function:get_order:live", invoke_arn = "arn:aws:apigateway:eu-west-1:lambda:path/get_order:live" }
}
override_resource {
  target = aws_lambda_alias.live["list_orders"]
  values = { arn = "arn:aws:lambda:eu-west-1:123456789012:function:list_orders:live", invoke_arn = "arn:aws:apigateway:eu-west-1:lambda:path/list_orders:live" }
}
override_resource {
  target = aws_lambda_alias.live["update_order"]
  values = { arn = "arn:aws:lambda:eu-west-1:123456789012:function:update_order:live", invoke_arn = "arn:aws:apigateway:eu-west-1:lambda:path/update_order:live" }
}
override_resource {
  target = aws_lambda_alias.live["order_creator_record"]
  values = { arn = "arn:aws:lambda:eu-west-1:123456789012:function:order_creator_record:live", invoke_arn = "arn:aws:apigateway:eu-west-1:lambda:path/order_creator_record:live" }
}
override_resource {
  target = aws_lambda_alias.live["order_pdf_creator"]
  values = { arn = "arn:aws:lambda:eu-west-1:123456789012:function:order_pdf_creator:live", invoke_arn = "arn:aws:apigateway:eu-west-1:lambda:path/order_pdf_creator:live" }
}
override_resource {
  target = aws_lambda_alias.live["order_internal_notifier"]
  values = { arn = "arn:aws:lambda:eu-west-1:123456789012:function:order_internal_notifier:live", invoke_arn = "arn:aws:apigateway:eu-west-1:lambda:path/order_internal_notifier:live" }
}
override_resource {
  target = aws_lambda_alias.live["customer_order_confirmation"]
  values = { arn = "arn:aws:lambda:eu-west-1:123456789012:function:customer_order_confirmation:live", invoke_arn = "arn:aws:apigateway:eu-west-1:lambda:path/customer_order_confirmation:live" }
}
override_resource {
  target = aws_s3_bucket.all["orders"]
  values = { id = "orders", arn = "arn:aws:s3:::orders" }
}
override_resource {
  target = aws_s3_bucket.all["templates"]
  values = { id = "templates", arn = "arn:aws:s3:::templates" }
}
override_resource {
  target = aws_sqs_queue.events_dead
  values = { arn = "arn:aws:sqs:eu-west-1:123456789012:dead-events", url = "https://sqs/dead-events" }
}

override_resource {
  target = aws_sqs_queue.mail_events
  values = { arn = "arn:aws:sqs:eu-west-1:123456789012:mail-events", url = "https://sqs/mail-events" }
}
override_resource {
  target = aws_sns_topic.operations["page"]
  values = { arn = "arn:aws:sns:eu-west-1:123456789012:pages" }
}
override_resource {
  target = aws_sns_topic.operations["ticket"]
  values = { arn = "arn:aws:sns:eu-west-1:123456789012:tickets" }
}
