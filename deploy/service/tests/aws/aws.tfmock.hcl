# What AWS would answer, as far as the plan depends on it. Values that are the same for every queue or function would
# hide a mix-up, so those that matter are given one by one in service.tftest.hcl.

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
  defaults = { arn = "arn:aws:dynamodb:eu-west-1:123456789012:table/orders" }
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
mock_resource "aws_sns_topic" {
  defaults = { arn = "arn:aws:sns:eu-west-1:123456789012:events" }
}
mock_resource "aws_sns_topic_subscription" {
  defaults = { filter_policy = "" }
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
