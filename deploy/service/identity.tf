# Who calls. The tenant is an attribute that only an administrator of the pool
# sets, once: a person who could write it could read another tenant's orders.
resource "aws_cognito_user_pool" "customers" {
  name                     = local.names.users
  username_attributes      = ["email"]
  auto_verified_attributes = ["email"]
  deletion_protection      = var.protected ? "ACTIVE" : "INACTIVE"
  mfa_configuration        = "OPTIONAL"

  admin_create_user_config {
    allow_admin_create_user_only = true
  }

  schema {
    name                = "tenantId" # reads custom:tenantId in a token
    attribute_data_type = "String"
    mutable             = false
    required            = false
    string_attribute_constraints {
      min_length = "1"
      max_length = "128"
    }
  }

  password_policy {
    minimum_length                   = 12
    require_lowercase                = true
    require_numbers                  = true
    require_symbols                  = false
    require_uppercase                = true
    temporary_password_validity_days = 7
  }

  software_token_mfa_configuration {
    enabled = true
  }

  # An address counts when its owner has proved it: until then the old one
  # stays.
  user_attribute_update_settings {
    attributes_require_verification_before_update = ["email"]
  }

  account_recovery_setting {
    recovery_mechanism {
      name     = "verified_email"
      priority = 1
    }
  }

  username_configuration {
    case_sensitive = false
  }
}

resource "aws_cognito_user_group" "admin" {
  name         = "admin"
  description  = "Administrators of the order service: they see every tenant's orders"
  user_pool_id = aws_cognito_user_pool.customers.id
}

resource "aws_cognito_user_group" "payments" {
  name         = "payments"
  description  = "May set an order paid, processing, completed and refunded, and its payment"
  user_pool_id = aws_cognito_user_pool.customers.id
}

resource "aws_cognito_user_pool_client" "portal" {
  name         = "portal"
  user_pool_id = aws_cognito_user_pool.customers.id

  # A page in a browser keeps no secret. The administrator's flow needs AWS
  # credentials and serves the first order.
  generate_secret     = false
  explicit_auth_flows = ["ALLOW_USER_SRP_AUTH", "ALLOW_REFRESH_TOKEN_AUTH", "ALLOW_ADMIN_USER_PASSWORD_AUTH"]

  read_attributes  = ["email", "email_verified", "name", "custom:tenantId"]
  write_attributes = ["name"] # not the tenant, and not the address that changes of an order are signed with

  prevent_user_existence_errors = "ENABLED"
  enable_token_revocation       = true
  id_token_validity             = 1
  access_token_validity         = 1
  refresh_token_validity        = 30
  token_validity_units {
    id_token      = "hours"
    access_token  = "hours"
    refresh_token = "days"
  }
}
