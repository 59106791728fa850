resource "aws_dynamodb_table" "orders" {
  name                        = local.names.table
  billing_mode                = "PAY_PER_REQUEST"
  hash_key                    = "PK"
  range_key                   = "SK"
  deletion_protection_enabled = var.protected

  dynamic "attribute" {
    for_each = ["PK", "SK", "GSI1_PK", "GSI1_SK", "GSI2_PK", "GSI2_SK"]
    content {
      name = attribute.value
      type = "S"
    }
  }

  # AP3: a tenant's orders by date.
  global_secondary_index {
    name            = "OrdersByDateIndex"
    hash_key        = "GSI1_PK"
    range_key       = "GSI1_SK"
    projection_type = "ALL"
  }

  # AP4: any order by its id, for administrators.
  global_secondary_index {
    name            = "OrderByIdIndex"
    hash_key        = "GSI2_PK"
    range_key       = "GSI2_SK"
    projection_type = "ALL"
  }

  ttl {
    attribute_name = "expiresAt"
    enabled        = true
  }

  point_in_time_recovery {
    enabled = true
  }

  # The AWS managed key, whose use CloudTrail records; without this block the key is one that nobody can see.
  server_side_encryption {
    enabled = true
  }
}
