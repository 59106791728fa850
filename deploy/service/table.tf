resource "aws_dynamodb_table" "orders" {
  name                        = local.names.table
  billing_mode                = "PAY_PER_REQUEST"
  hash_key                    = "PK"
  range_key                   = "SK"
  deletion_protection_enabled = var.protected

  # The one way out of every change: old and new image, so that the record
  # creator sees which history entries are new. Switching it off and on makes
  # another stream: what the old one still held is lost.
  stream_enabled   = true
  stream_view_type = "NEW_AND_OLD_IMAGES"

  dynamic "attribute" {
    for_each = ["PK", "SK", "GSI1_PK", "GSI1_SK", "GSI2_PK", "GSI2_SK"]
    content {
      name = attribute.value
      type = "S"
    }
  }

  # AP3: a tenant's orders by date, with what a list shows and filters by. A
  # change of the projection replaces the index.
  global_secondary_index {
    name               = "OrdersByDateIndex"
    hash_key           = "GSI1_PK"
    range_key          = "GSI1_SK"
    projection_type    = "INCLUDE"
    non_key_attributes = ["id", "orderNumber", "status", "total", "currency", "dateCreated", "active"]
  }

  # AP4 and AP7: any order by its id, a supplier's documents by their number.
  # Both go on to the item by the table's own key, which every index holds.
  global_secondary_index {
    name            = "OrderByIdIndex"
    hash_key        = "GSI2_PK"
    range_key       = "GSI2_SK"
    projection_type = "KEYS_ONLY"
  }

  ttl {
    attribute_name = "expiresAt"
    enabled        = true
  }

  point_in_time_recovery {
    enabled = true
  }

  # The AWS managed key, whose use CloudTrail records; without this block the
  # key is one that nobody can see.
  server_side_encryption {
    enabled = true
  }
}
