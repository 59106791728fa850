#!/usr/bin/env bash
# Checks the Terraform without an account: format, validity, and the tests against a mock of AWS. The provider's schemas
# come from the provider itself where it can be had, else from the stand-in that TFCHECK names.
set -euo pipefail

tfcheck=$(realpath -m "${TFCHECK:?}")
cd "$(dirname "$0")"
if [ ! -e "${TF_CLI_CONFIG_FILE:-/}" ]; then unset TF_CLI_CONFIG_FILE; fi # terraform warns of it with every command
export TF_IN_AUTOMATION=1 AWS_REGION=${AWS_REGION:-eu-west-1}

if ! command -v terraform >/dev/null; then
	echo "deploy-test: terraform 1.11 or newer is not on the PATH" >&2
	exit 2
fi

terraform fmt -check -diff -recursive .

provider() { # the real thing, into a directory that the four share
	mkdir -p ../.cache/terraform
	TF_PLUGIN_CACHE_DIR=$PWD/../.cache/terraform terraform -chdir="$1" init -backend=false -input=false -no-color
}

check() {
	terraform -chdir="$1" validate -no-color
	terraform -chdir="$1" test -no-color
}

if provider service >/dev/null 2>&1; then
	echo "deploy-test: with the AWS provider"
	for dir in service dev sit prod; do
		echo "--- deploy/$dir"
		provider "$dir" >/dev/null
		check "$dir"
	done
elif [ -x "$tfcheck" ]; then
	echo "deploy-test: the AWS provider cannot be had here; with its schemas by $tfcheck"
	for dir in service dev sit prod; do
		echo "--- deploy/$dir"
		"$tfcheck" "$dir"
	done
else
	echo "deploy-test: neither the AWS provider (terraform init) nor its stand-in (TFCHECK=$tfcheck) can be had" >&2
	exit 2
fi
