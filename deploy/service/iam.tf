# What each role may do, and no more. The lists follow the code: an action comes
# in with the call that needs it. No role may delete an item.
#
# Rights are for actions, not for attributes or items: an order is one item that
# five roles write, so a list of attributes would hold nearly all of them, would
# repeat the store's expressions, and fail on AWS only. What a role may change
# of an order is held by the store's conditions and their tests.

locals {
  table     = aws_dynamodb_table.orders.arn
  orders    = aws_s3_bucket.all["orders"].arn
  templates = aws_s3_bucket.all["templates"].arn

  # What each role calls of the table and of its indexes.
  table_actions = {
    create_order                = ["GetItem", "PutItem", "UpdateItem"] # the key, the counter, the accepted order
    get_order                   = ["GetItem"]
    list_orders                 = ["GetItem", "Query"] # an order number, a page
    update_order                = ["GetItem", "UpdateItem"]
    order_creator_record        = ["GetItem", "PutItem", "UpdateItem"]
    order_pdf_creator           = ["ConditionCheckItem", "GetItem", "PutItem", "UpdateItem"] # a document's number is a transaction
    order_internal_notifier     = ["GetItem", "UpdateItem"]
    customer_order_confirmation = ["GetItem", "UpdateItem"]
  }
  index_queries = {
    get_order    = "OrderByIdIndex"
    list_orders  = "OrdersByDateIndex"
    update_order = "OrderByIdIndex"
  }

  # A document's link carries the rights of the function that signs it.
  sign_links = { Sid = "SignLinks", Effect = "Allow", Action = "s3:GetObject", Resource = "${local.orders}/*/orders/order_*.pdf" }

  # Without it S3 answers 403 for an object that is not there, and a missing
  # template looks like a forbidden one.
  tell_missing = { Sid = "TellMissingFromForbidden", Effect = "Allow", Action = "s3:ListBucket", Resource = local.templates }

  # Mails are made of a template and of who sells, and sent as one address.
  mail_access = {
    for role, directory in { order_internal_notifier = "internal", customer_order_confirmation = "customer" } : role => [
      { Sid = "ReadTemplates", Effect = "Allow", Action = "s3:GetObject", Resource = ["${local.templates}/${directory}/*", "${local.templates}/branding/*"] },
      local.tell_missing,
      {
        Sid       = "Send"
        Effect    = "Allow"
        Action    = "ses:SendEmail"
        Resource  = concat([local.mail_identity, aws_sesv2_configuration_set.mail.arn], local.recipient_identities)
        Condition = { StringEquals = { "ses:FromAddress" = var.mail_from } }
      },
    ]
  }

  access = merge(local.mail_access, {
    create_order = [
      { Sid = "Queue", Effect = "Allow", Action = "sqs:SendMessage", Resource = aws_sqs_queue.work[local.recorder].arn },
    ]
    get_order    = [local.sign_links]
    list_orders  = []
    update_order = [local.sign_links]

    order_creator_record = [
      { Sid = "Publish", Effect = "Allow", Action = "sns:Publish", Resource = aws_sns_topic.events.arn },
      { Sid = "GiveUpOnEvents", Effect = "Allow", Action = "sqs:SendMessage", Resource = aws_sqs_queue.events_dead.arn },
      # What Lambda does in the function's name to read the stream.
      {
        Sid      = "ReadStream"
        Effect   = "Allow"
        Action   = ["dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator"]
        Resource = aws_dynamodb_table.orders.stream_arn
      },
      { Sid = "FindStream", Effect = "Allow", Action = "dynamodb:ListStreams", Resource = "${local.table}/stream/*" },
    ]

    order_pdf_creator = [
      { Sid = "StoreDocument", Effect = "Allow", Action = "s3:PutObject", Resource = "${local.orders}/*/orders/order_*.pdf" },
      { Sid = "ReadBranding", Effect = "Allow", Action = "s3:GetObject", Resource = "${local.templates}/branding/*" },
      local.tell_missing,
    ]
  })

  use_table = {
    for role, actions in local.table_actions : role => concat(
      [{ Sid = "UseTable", Effect = "Allow", Action = [for action in actions : "dynamodb:${action}"], Resource = local.table }],
      [for index in compact([lookup(local.index_queries, role, null)]) : { Sid = "QueryIndex", Effect = "Allow", Action = "dynamodb:Query", Resource = "${local.table}/index/${index}" }],
    )
  }

  # What Lambda does in the function's name to feed it, the function's own
  # backoff, and the copy of a message that waits for a neighbour. The queue is
  # the consumer's own and no other.
  consume = {
    for name, queue in aws_sqs_queue.work : name => [{
      Sid      = "Consume"
      Effect   = "Allow"
      Action   = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ChangeMessageVisibility", "sqs:SendMessage"]
      Resource = queue.arn
    }]
  }

  write_logs = {
    for name, group in aws_cloudwatch_log_group.function : name => [{
      Sid      = "Log"
      Effect   = "Allow"
      Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
      Resource = "${group.arn}:*" # the group's streams
    }]
  }

  # X-Ray has no resources to name, hence the star.
  trace = [for on in [var.enable_xray] : {
    Sid      = "Trace"
    Effect   = "Allow"
    Action   = ["xray:PutTraceSegments", "xray:PutTelemetryRecords"]
    Resource = "*"
  } if on]

  policies = {
    for name in keys(local.roles) : name => jsonencode({
      Version   = "2012-10-17"
      Statement = concat(local.use_table[name], local.access[name], lookup(local.consume, name, []), local.write_logs[name], local.trace)
    })
  }
}

resource "aws_iam_role" "function" {
  for_each = local.roles

  name        = "${local.function_names[each.key]}-${local.region}" # IAM knows no regions
  description = "What ROLE=${each.key} of the order service may do"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "lambda.amazonaws.com" }
      Action    = "sts:AssumeRole"
    }]
  })
}

resource "aws_iam_role_policy" "function" {
  for_each = local.roles

  name   = "role"
  role   = aws_iam_role.function[each.key].id
  policy = local.policies[each.key]
}
