# Two commands: `make run` shows the service at work, `make test` proves it. `make help` lists the rest.
# Tools are installed into .cache/ on first use; nothing is installed system-wide except, on Debian as root,
# missing packages that a target names.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

export CGO_ENABLED ?= 1
BUILD_TAGS := lambda.norpc
LDFLAGS := -s -w

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort | column -t -s $$'\t'

# --- run and test -------------------------------------------------------------------------------------------------

# --- image --------------------------------------------------------------------------------------------------------

# --- deploy -------------------------------------------------------------------------------------------------------

# --- contract -----------------------------------------------------------------------------------------------------

# --- invoice and mail ---------------------------------------------------------------------------------------------

# --- faults -------------------------------------------------------------------------------------------------------

# --- speed --------------------------------------------------------------------------------------------------------
