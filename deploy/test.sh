#!/usr/bin/env bash
# Checks what deploys the service, without an account: the Terraform (format,
# validity, its tests against a mock of AWS), the workflows, and the promotion
# of an image. The provider's schemas come from the provider itself where it can
# be had, else from the stand-in that TFCHECK names.
#
# Where neither can be had, one line says so and the rest is checked. Under
# CI=true that is a failure if the stand-in's folder is there without it, and so
# is a missing Terraform.
set -euo pipefail

tfcheck=${TFCHECK:?}
if [[ $tfcheck != /* ]]; then tfcheck=$PWD/$tfcheck; fi
cd "$(dirname "$0")"
if [ ! -e "${TF_CLI_CONFIG_FILE:-/}" ]; then unset TF_CLI_CONFIG_FILE; fi # terraform warns of it with every command
export TF_IN_AUTOMATION=1 AWS_REGION=${AWS_REGION:-eu-west-1}

not_checked() { # WHAT IS A FAILURE IN CI
	echo "deploy-test: the Terraform is NOT checked: $1"
	if [ "${CI:-}" = true ] && [ "$2" = true ]; then exit 2; fi
}

provider() { # the real thing, into a directory that the four share; at once or not at all
	local limit=
	if command -v timeout >/dev/null; then limit="timeout 300"; fi # macOS has none
	mkdir -p ../.cache/terraform
	TF_PLUGIN_CACHE_DIR=$PWD/../.cache/terraform TF_REGISTRY_DISCOVERY_RETRY=0 TF_REGISTRY_CLIENT_TIMEOUT=10 \
		$limit terraform -chdir="$1" init -backend=false -input=false -no-color -lockfile=readonly
}

infrastructure() {
	local dirs=(service dev sit prod) dir
	if ! command -v terraform >/dev/null; then
		not_checked "put Terraform 1.11 or newer on the PATH" true
		return
	fi
	terraform fmt -check -diff -recursive .
	if provider service >/dev/null 2>&1; then
		echo "deploy-test: with the AWS provider"
		for dir in "${dirs[@]}"; do
			echo "--- deploy/$dir"
			provider "$dir" >/dev/null
			terraform -chdir="$dir" validate -no-color
			terraform -chdir="$dir" test -no-color
		done
	elif [ -x "$tfcheck" ]; then
		echo "deploy-test: the AWS provider cannot be had here; with its schemas by $tfcheck"
		for dir in "${dirs[@]}"; do
			echo "--- deploy/$dir"
			"$tfcheck" "$dir"
		done
	else
		not_checked "the AWS provider cannot be downloaded; name a stand-in with its schemas by TFCHECK=…" \
			"$([ -d "$(dirname "$(dirname "$tfcheck")")" ] && echo true || echo false)"
	fi
}

workflows() {
	(cd .. && go run github.com/rhysd/actionlint/cmd/actionlint@v1.7.12)
	echo "deploy-test: the workflows are well-formed"
}

# promotion copies an artifact with a referrer between two repositories of a
# registry on this machine.
promotion() {
	local port digest sbom copied
	dir=$(mktemp -d)
	GOBIN=$dir CGO_ENABLED=0 go install github.com/google/go-containerregistry/cmd/crane@v0.22.1
	GOBIN=$dir CGO_ENABLED=0 go install oras.land/oras/cmd/oras@v1.3.6
	: >"$dir/log"
	"$dir/crane" registry serve --address 127.0.0.1:0 2>"$dir/log" &
	registry=$!
	trap 'kill "$registry"; rm -rf "$dir"' EXIT
	for _ in {1..100}; do
		port=$(sed -n 's/.*serving on port //p' "$dir/log")
		if [ -n "$port" ]; then break; fi
		sleep 0.1
	done

	echo image >"$dir/image"
	echo sbom >"$dir/sbom"
	(
		cd "$dir"
		./oras push --plain-http "127.0.0.1:$port/dev:v1" image
		./oras attach --plain-http --artifact-type application/spdx+json "127.0.0.1:$port/dev:v1" sbom
	) >/dev/null 2>&1
	digest=$("$dir/oras" resolve --plain-http "127.0.0.1:$port/dev:v1")
	copied=$(ORAS=$dir/oras PLAIN=1 ./promote.sh "127.0.0.1:$port/dev@$digest" "127.0.0.1:$port/prod" v1 2>/dev/null)
	sbom=$("$dir/oras" discover --plain-http --format json "127.0.0.1:$port/prod:v1")
	if [ "$copied" != "$digest" ] || [[ $sbom != *application/spdx+json* ]]; then
		echo "deploy-test: promotion changed the digest ($digest, $copied) or lost what refers to the image: $sbom" >&2
		exit 1
	fi
	if ORAS=$dir/oras PLAIN=1 ./promote.sh "127.0.0.1:$port/dev:v1" "127.0.0.1:$port/prod" v2 2>/dev/null; then
		echo "deploy-test: promotion takes a tag for a digest" >&2
		exit 1
	fi
	echo "deploy-test: an image is promoted by digest, with what refers to it"
}

infrastructure
workflows
promotion
