terraform {
  required_version = ">= 1.11"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "6.25.0"
    }
  }
  # The bucket is given at init: -backend-config=bucket=…
  backend "s3" {
    key          = "order-service/prod.tfstate"
    region       = "af-south-1"
    use_lockfile = true
  }
}

provider "aws" {
  region = "af-south-1"
  default_tags {
    tags = { Service = "bbws-order", Environment = "prod" }
  }
}

variable "image_digest" {
  description = "The image to run, as make image-push prints it: sha256:…"
  type        = string
}

variable "image_tag" {
  description = "The tag it was pushed under: its commit."
  type        = string
}

variable "backup_copy_vault_arn" {
  description = "The vault of the backup account that daily backups are copied to."
  type        = string
}

module "service" {
  source = "../service"

  environment   = "prod"
  image_digest  = var.image_digest
  image_tag     = var.image_tag
  mail_from     = "noreply@kimmyai.io"
  mail_internal = ["orders@kimmyai.io"]

  protected = true

  # Twice 1 000 orders a second, and the reads that come with them.
  api_rate  = 2000
  api_burst = 1000

  alerts = { page = ["orders@kimmyai.io"], ticket = ["orders@kimmyai.io"] }

  # The vault in the backup account; deploy/README.md says how it is made.
  backup_copy_vault_arn = var.backup_copy_vault_arn
}

output "service" {
  description = "What an operator needs to know of it."
  value       = module.service
}
