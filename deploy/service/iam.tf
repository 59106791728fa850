# What each role may do, and no more. The lists follow the code: an action comes in with the call that needs it.

locals {
  table     = aws_dynamodb_table.orders.arn
  orders    = aws_s3_bucket.all["orders"].arn
  templates = aws_s3_bucket.all["templates"].arn

  # The invoice's link carries the rights of the function that signs it.
  sign_invoice_links = { Sid = "SignInvoiceLinks", Effect = "Allow", Action = "s3:GetObject", Resource = "${local.orders}/*/orders/order_*.pdf" }

  # Without it S3 answers 403 for an object that is not there, and a missing template looks like a forbidden one.
  tell_missing = { Sid = "TellMissingFromForbidden", Effect = "Allow", Action = "s3:ListBucket", Resource = local.templates }

  # The attributes that a role may name, so that one that goes wrong can spoil what it owns and nothing else. (IAM cannot tell
  # items apart by the sort part of their key.) A Go test holds the file to the requests that the store makes.
  attributes = {
    for role, names in jsondecode(file("${path.module}/../attributes.json")) : role => { "ForAllValues:StringEquals" = { "dynamodb:Attributes" = names } }
  }

  # Both mail roles read the order and a template, keep the ledger of sent mail, and send as one address.
  mail_access = {
    for role, directory in { order_internal_notifier = "internal", customer_order_confirmation = "customer" } : role => [
      { Sid = "ReadOrder", Effect = "Allow", Action = "dynamodb:GetItem", Resource = local.table },
      { Sid = "KeepLedger", Effect = "Allow", Action = "dynamodb:UpdateItem", Resource = local.table, Condition = local.attributes[role] },
      { Sid = "ReadTemplate", Effect = "Allow", Action = "s3:GetObject", Resource = "${local.templates}/${directory}/*" },
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
      # The counter, the idempotency item, and whether a repeated order is recorded already.
      { Sid = "Read", Effect = "Allow", Action = "dynamodb:GetItem", Resource = local.table },
      # Counter, receipt and idempotency item, none of which has what makes an order.
      { Sid = "Accept", Effect = "Allow", Action = ["dynamodb:PutItem", "dynamodb:UpdateItem"], Resource = local.table, Condition = local.attributes["create_order"] },
      # The receipt of an order that the queue did not take.
      { Sid = "Withdraw", Effect = "Allow", Action = "dynamodb:DeleteItem", Resource = local.table },
      { Sid = "Queue", Effect = "Allow", Action = "sqs:SendMessage", Resource = aws_sqs_queue.work[local.recorder].arn },
    ]

    get_order = [
      { Sid = "ReadOrderOrReceipt", Effect = "Allow", Action = "dynamodb:GetItem", Resource = local.table },
      { Sid = "ReadAnyTenants", Effect = "Allow", Action = "dynamodb:Query", Resource = "${local.table}/index/OrderByIdIndex" },
      local.sign_invoice_links,
    ]

    list_orders = [
      {
        Sid      = "ListWithoutPersonalData" # only what a list shows: no address, no items
        Effect   = "Allow"
        Action   = "dynamodb:Query"
        Resource = [local.table, "${local.table}/index/OrdersByDateIndex"]
        Condition = merge(local.attributes["list_orders"], {
          StringEqualsIfExists = { "dynamodb:Select" = "SPECIFIC_ATTRIBUTES" } # or all would be asked for by naming none
        })
      },
    ]

    update_order = [
      { Sid = "ReadOrderOrReceipt", Effect = "Allow", Action = "dynamodb:GetItem", Resource = local.table },
      { Sid = "ChangeStatusAndPayment", Effect = "Allow", Action = "dynamodb:UpdateItem", Resource = local.table, Condition = local.attributes["update_order"] },
      local.sign_invoice_links,
    ]

    order_creator_record = [
      { Sid = "ReadOrderReceiptAndCounter", Effect = "Allow", Action = "dynamodb:GetItem", Resource = local.table },
      { Sid = "Record", Effect = "Allow", Action = "dynamodb:PutItem", Resource = local.table }, # the whole order, on condition of its absence
      # The receipt's state, and the number of a message that came without one.
      { Sid = "NumberAndReceipt", Effect = "Allow", Action = "dynamodb:UpdateItem", Resource = local.table, Condition = local.attributes[local.recorder] },
      { Sid = "Publish", Effect = "Allow", Action = "sns:Publish", Resource = aws_sns_topic.events.arn },
    ]

    order_pdf_creator = [
      { Sid = "ReadOrder", Effect = "Allow", Action = "dynamodb:GetItem", Resource = local.table },
      { Sid = "LinkInvoice", Effect = "Allow", Action = "dynamodb:UpdateItem", Resource = local.table, Condition = local.attributes["order_pdf_creator"] },
      { Sid = "StoreInvoice", Effect = "Allow", Action = "s3:PutObject", Resource = "${local.orders}/*/orders/order_*.pdf" },
      { Sid = "ReadBranding", Effect = "Allow", Action = "s3:GetObject", Resource = "${local.templates}/branding/*" },
      local.tell_missing,
    ]
  })

  # What Lambda does in the function's name to feed it, and the function's own backoff.
  consume = {
    for name, queue in aws_sqs_queue.work : name => [{
      Sid      = "Consume"
      Effect   = "Allow"
      Action   = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ChangeMessageVisibility"]
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
      Statement = concat(local.access[name], lookup(local.consume, name, []), local.write_logs[name], local.trace)
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
