mock_provider "aws" {
  source          = "../service/tests/aws"
  override_during = plan
}

variables {
  backup_copy_vault_arn = "arn:aws:backup:eu-west-1:210987654321:backup-vault:orders"
  image_tag             = "0000000000000000000000000000000000000000"
  image_digest          = "sha256:0000000000000000000000000000000000000000000000000000000000000000"
}

run "prod" {
  command = plan

  assert {
    condition     = length(module.service.functions) == 8 && alltrue([for settings in values(module.service.settings) : settings.ENVIRONMENT == "prod" && settings.DYNAMODB_TABLE_NAME == "bbws-customer-portal-orders-prod"])
    error_message = "All eight functions belong to prod."
  }
  assert {
    condition     = module.service.settings.update_order.PAYMENT_GROUP == "payments"
    error_message = "Whoever is of the tenant may set an order paid."
  }
  assert {
    condition     = module.service.settings.customer_order_confirmation.SES_FROM_ADDRESS == "noreply@kimmyai.io" && module.service.settings.order_creator_record.CART_LAMBDA_API_URL == "https://api-prod.bbws.io/v1.0/cart"
    error_message = "prod sends mail and asks for carts as prod."
  }
  assert {
    condition     = module.service.protected
    error_message = "Production must be protected from deletion."
  }
}
