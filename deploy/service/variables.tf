variable "environment" {
  description = "The environment's name: it is part of every name and is the setting ENVIRONMENT."
  type        = string
  validation {
    condition     = contains(["dev", "sit", "prod"], var.environment)
    error_message = "The environment is dev, sit or prod."
  }
}

variable "image_digest" {
  description = "The image that all eight functions run, by its digest in this environment's repository: sha256:…"
  type        = string
  validation {
    condition     = can(regex("^sha256:[0-9a-f]{64}$", var.image_digest))
    error_message = "The image is named by digest, sha256: and 64 hexadecimal digits: a tag can be moved, a digest cannot."
  }
}

variable "image_tag" {
  description = "The tag that the image was pushed under: its commit, and for a rebuild of the same commit something behind it."
  type        = string
  validation {
    condition     = can(regex("^[0-9a-f]{40}(-[A-Za-z0-9._-]+)?$", var.image_tag))
    error_message = "The tag is a commit of 40 hexadecimal digits, with -something behind it for a rebuild: a version must tell what it was made from."
  }
}

variable "protected" {
  description = "Whether table, user pool, buckets and repository refuse to be deleted, and tax invoices and credit notes cannot be erased by anyone."
  type        = bool
  default     = false
}

variable "names" {
  description = "Names that other systems know, with {env} for the environment. Queue names are in roles.json."
  type = object({
    table     = optional(string, "bbws-customer-portal-orders-{env}")
    topic     = optional(string, "bbws-order-events-{env}")
    orders    = optional(string, "bbws-orders-{env}")
    templates = optional(string, "bbws-email-templates-{env}")
    image     = optional(string, "bbws-order-lambda-{env}")
    users     = optional(string, "bbws-customer-portal-{env}")
    mail      = optional(string, "bbws-order-mail-{env}")
    prefix    = optional(string, "bbws-order-service-{env}")
  })
  default = {}
}

# --- what the functions are told ----------------------------------------------

variable "log_level" {
  description = "LOG_LEVEL of every function."
  type        = string
  default     = "INFO"
  validation {
    condition     = contains(["DEBUG", "INFO", "WARN", "ERROR"], var.log_level)
    error_message = "The log level is DEBUG, INFO, WARN or ERROR."
  }
}

variable "enable_xray" {
  description = "ENABLE_XRAY of every function, and active tracing of the API and of the functions."
  type        = bool
  default     = false
}

variable "cart_url" {
  description = "CART_LAMBDA_API_URL: the Cart API, without the cart's id; {env} is replaced."
  type        = string
  default     = "https://api-{env}.bbws.io/v1.0/cart"
}

variable "tax_rate" {
  description = "TAX_RATE as decimal text, for example 0.15. A number would lose its digits on the way."
  type        = string
  default     = "0.15"
  validation {
    condition     = can(regex("^(0(\\.[0-9]{1,6})?|1(\\.0{1,6})?)$", var.tax_rate))
    error_message = "The tax rate is decimal text from 0 to 1 with at most six decimals."
  }
}

variable "mail_from" {
  description = "SES_FROM_ADDRESS: the sender of both mails, without a display name. Its domain becomes an SES identity."
  type        = string
  validation {
    condition     = can(regex("^[^@ <>]+@[^@ <>]+$", var.mail_from))
    error_message = "The sender is a bare address: the right to send is given to that very address."
  }
}

variable "mail_internal" {
  description = "INTERNAL_NOTIFICATION_EMAIL: the team's addresses."
  type        = list(string)
  validation {
    condition     = length(var.mail_internal) > 0
    error_message = "At least one address of the team is needed."
  }
}

variable "mail_reply_to" {
  description = "SES_REPLY_TO_ADDRESS of the customer's mail."
  type        = string
  default     = "support@kimmyai.io"
}

variable "admin_portal_url" {
  description = "ADMIN_PORTAL_URL, linked in the team's mail."
  type        = string
  default     = "https://admin.kimmyai.io"
}

variable "customer_portal_url" {
  description = "CUSTOMER_PORTAL_URL, linked in the customer's mail."
  type        = string
  default     = "https://portal.kimmyai.io"
}

variable "cors_allowed_origin" {
  description = "CORS_ALLOWED_ORIGIN. * is safe here: the API knows callers by a token in a header, never by a cookie."
  type        = string
  default     = "*"
}

# --- the edge -----------------------------------------------------------------

variable "api_rate" {
  description = "Requests a second, all callers together, above which the API answers 429."
  type        = number
  default     = 100
}

variable "api_burst" {
  description = "Requests at once above which the API answers 429."
  type        = number
  default     = 200
}

variable "api_rate_per_address" {
  description = "Requests of one IP address in five minutes above which the firewall answers 429."
  type        = number
  default     = 6000
}

variable "api_rate_per_token" {
  description = "Requests with one token in five minutes above which the firewall answers 429."
  type        = number
  default     = 3000
}

variable "api_domain" {
  description = "The API's own host name and its certificate in this region. Without it the API answers under …/{env}/."
  type        = object({ name = string, certificate_arn = string })
  default     = null
}

# --- the account --------------------------------------------------------------

variable "account_settings" {
  description = <<-TEXT
    Whether this environment sets what an account has once in a region: API Gateway's role for logs and the SES identity of
    the sender's domain. Environments that share an account let one of them do it.
  TEXT
  type        = bool
  default     = true
}

variable "mail_recipients" {
  description = "Addresses to verify, so that they can be written to while the account's SES is still in its sandbox."
  type        = set(string)
  default     = []
}

variable "alerts" {
  description = <<-TEXT
    Whom alarms are sent to, by urgency: pages wake somebody up, tickets wait for the morning. E-mail addresses, or the https://
    endpoint of a pager. Each must confirm once.
  TEXT
  type        = object({ page = optional(set(string), []), ticket = optional(set(string), []) })
  default     = {}
  validation {
    condition     = !var.protected || (length(var.alerts.page) > 0 && length(var.alerts.ticket) > 0)
    error_message = "An environment that is protected has somebody to wake up, and somebody who reads tickets."
  }
}

variable "backup_copy_vault_arn" {
  description = <<-TEXT
    The vault of another account, best in another region, that daily backups of the table and the documents are copied to.
    It must let this account copy into it, and its key must be one of that account's own.
  TEXT
  type        = string
  default     = null
  validation {
    condition     = var.backup_copy_vault_arn == null || can(regex("^arn:aws:backup:[a-z0-9-]+:[0-9]{12}:backup-vault:", var.backup_copy_vault_arn))
    error_message = "The vault is named by its ARN, arn:aws:backup:…:backup-vault:…"
  }
}

variable "log_retention_days" {
  description = "How long logs are kept."
  type        = number
  default     = 90
}
