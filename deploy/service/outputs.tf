output "api_url" {
  description = "Where the API answers; /v1.0/orders follows."
  value       = var.api_domain == null ? aws_api_gateway_stage.live.invoke_url : "https://${var.api_domain.name}"
}

output "repository_url" {
  description = "Where the image is pushed: make image-push REPO=…"
  value       = aws_ecr_repository.service.repository_url
}

output "user_pool_id" {
  description = "The pool that callers are made in."
  value       = aws_cognito_user_pool.customers.id
}

output "user_pool_client_id" {
  description = "The client that callers sign in with."
  value       = aws_cognito_user_pool_client.portal.id
}

output "mail_dns" {
  description = "CNAME records that prove the sender's domain to SES, name to value."
  value = { for token in flatten(aws_sesv2_email_identity.domain[*].dkim_signing_attributes[*].tokens[*]) :
  "${token}._domainkey.${local.mail_domain}" => "${token}.${local.dkim_zone}" }
}

output "queue_urls" {
  description = "Queues and dead-letter queues by role."
  value       = { for name, entry in local.queues : name => entry.queue.url }
}

output "functions" {
  description = "Function names by role."
  value       = local.function_names
}

output "settings" {
  description = "The environment variables of each function, by role."
  value       = local.environments
}

output "protected" {
  description = "Whether the orders refuse to be deleted."
  value       = aws_dynamodb_table.orders.deletion_protection_enabled
}

output "dashboard" {
  description = "What to open when an alarm goes off."
  value       = "https://${local.region}.console.aws.amazon.com/cloudwatch/home?region=${local.region}#dashboards/dashboard/${aws_cloudwatch_dashboard.service.dashboard_name}"
}
