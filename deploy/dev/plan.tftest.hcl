mock_provider "aws" {
  source          = "../service/tests/aws"
  override_during = plan
}

variables {
  image_tag    = "0000000000000000000000000000000000000000"
  image_digest = "sha256:0000000000000000000000000000000000000000000000000000000000000000"
}

run "dev" {
  command = plan

  assert {
    condition     = length(module.service.functions) == 8 && alltrue([for settings in values(module.service.settings) : settings.ENVIRONMENT == "dev" && settings.DYNAMODB_TABLE_NAME == "bbws-customer-portal-orders-dev"])
    error_message = "All eight functions belong to dev."
  }
  assert {
    condition     = module.service.settings.update_order.PAYMENT_GROUP == "payments"
    error_message = "Whoever is of the tenant may set an order paid."
  }
  assert {
    condition     = module.service.settings.customer_order_confirmation.SES_FROM_ADDRESS == "test@kimmyai.io" && module.service.settings.order_creator_record.CART_LAMBDA_API_URL == "https://api-dev.bbws.io/v1.0/cart"
    error_message = "dev sends mail and asks for carts as dev."
  }
  assert {
    condition     = !module.service.protected
    error_message = "Only production is protected from deletion: this one is thrown away and made again."
  }
}
