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
    key          = "order-service/dev.tfstate"
    region       = "eu-west-1"
    use_lockfile = true
  }
}

provider "aws" {
  region = "eu-west-1"
  default_tags {
    tags = { Service = "bbws-order", Environment = "dev" }
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

module "service" {
  source = "../service"

  environment   = "dev"
  image_digest  = var.image_digest
  image_tag     = var.image_tag
  mail_from     = "test@kimmyai.io"
  mail_internal = ["orders@kimmyai.io"]
  enable_xray   = true
}

output "service" {
  description = "What an operator needs to know of it."
  value       = module.service
}
