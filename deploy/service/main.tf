# The whole order service in one environment. deploy/dev, deploy/sit and
# deploy/prod are three calls of this module.

terraform {
  required_version = ">= 1.11"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "6.25.0" # the schemas that make deploy-test checks; newer ones know key_schema instead of hash_key
    }
  }
}

data "aws_caller_identity" "this" {}
data "aws_region" "this" {}

locals {
  account = data.aws_caller_identity.this.account_id
  region  = data.aws_region.this.region

  # The one table of roles; the binary's tests and the local stack read the same
  # file.
  roles     = jsondecode(file("${path.module}/../roles.json"))
  api_roles = { for name, role in local.roles : name => role if can(role.path) }
  consumers = { for name, role in local.roles : name => role if can(role.queue) }

  # The record creator's queue is the one that create_order fills; the topic
  # feeds those whose row names events.
  recorder    = "order_creator_record"
  stream      = local.roles[local.recorder].stream
  subscribers = { for name, role in local.consumers : name => role if can(role.events) }

  names    = { for what, name in var.names : what => replace(name, "{env}", var.environment) }
  cart_url = replace(var.cart_url, "{env}", var.environment)
}
