#!/usr/bin/env bash
# Builds and pushes the image, with Docker or else with Buildah.
#
#	image.sh build NAME        builds NAME for $ARCH (arm64)
#	image.sh push NAME REPO    pushes it to REPO under the commit's id (with -$REBUILD for a rebuild) and prints its digest,
#	                           which is what deploy/ wants
#	image.sh docker            prints the docker command that works here, or nothing
#
# EXTRA_ROOTS holds authorities to trust besides the Dockerfile's.
# BUILD_IMAGE and BASE_IMAGE replace the images that the Dockerfile names; BUILD_FLAGS go to the builder as they are.
set -euo pipefail
cd "$(dirname "$0")/.."

arch=${ARCH:-arm64}

docker_command() { # a client that reaches an engine and can build with BuildKit; there may be several on the PATH
	local client
	while read -r client; do
		"$client" info >/dev/null 2>&1 || continue
		if "$client" buildx version >/dev/null 2>&1 || [[ $("$client" version -f '{{.Client.Version}}') =~ ^(1|20)\. ]]; then
			echo "$client"
			return
		fi
	done < <(type -ap docker)
}

revision() { # the commit, and whether the tree is as it says
	git describe --always --abbrev=40 --exclude '*' --dirty 2>/dev/null || echo unknown
}

arguments() {
	echo "--build-arg=REVISION=$(revision)"
	echo "--build-arg=SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null || echo 0)"
	if [ -n "${BUILD_IMAGE:-}" ]; then echo "--build-arg=BUILD_IMAGE=$BUILD_IMAGE"; fi
	if [ -n "${BASE_IMAGE:-}" ]; then echo "--build-arg=BASE_IMAGE=$BASE_IMAGE"; fi
	if [ -n "${EXTRA_ROOTS:-}" ]; then echo "--build-arg=EXTRA_ROOTS"; fi # many lines, so from the environment
}

build() {
	local args=() argument docker
	while IFS= read -r argument; do args+=("$argument"); done < <(arguments)
	# shellcheck disable=SC2206 # several flags
	args+=(${BUILD_FLAGS:-})
	docker=$(docker_command)
	if [ -n "$docker" ]; then
		if "$docker" buildx version >/dev/null 2>&1; then
			# Lambda refuses an index, which attestations would make of the image.
			"$docker" buildx build --load --provenance=false --sbom=false --platform "linux/$arch" "${args[@]}" -t "$1" .
		else
			DOCKER_BUILDKIT=1 "$docker" build --platform "linux/$arch" "${args[@]}" -t "$1" .
		fi
	elif command -v buildah >/dev/null; then
		# Without --platform, under which Buildah takes the builder's platform for the target's. Hence the base of one architecture.
		if [ -z "${BASE_IMAGE:-}" ]; then
			args+=("--build-arg=BASE_IMAGE=$(sed -n 's/^ARG BASE_IMAGE=//p' Dockerfile)-${arch/amd64/x86_64}")
		fi
		buildah build --layers --build-arg "TARGETARCH=$arch" "${args[@]}" -t "$1" .
	else
		echo "make image: neither a Docker engine with BuildKit nor Buildah is here; install one of them" >&2
		exit 2
	fi
}

push() {
	local docker target
	target=$2:$(revision)
	if [[ $target == *-dirty ]]; then
		echo "make image-push: commit first; an image is named after its commit" >&2
		exit 2
	fi
	target+=${REBUILD:+-$REBUILD} # of the same commit, for example for a base image's patch: tags do not move
	docker=$(docker_command)
	if [ -n "$docker" ]; then
		"$docker" tag "$1" "$target"
		"$docker" push "$target"
		"$docker" image inspect -f '{{range .RepoDigests}}{{println .}}{{end}}' "$target" | sed -n "s|^$2@||p"
	else
		local digest
		digest=$(mktemp)
		buildah push --format v2s2 --digestfile "$digest" "$1" "docker://$target"
		cat "$digest" && echo && rm "$digest"
	fi
}

case ${1:-} in
build) build "${2:?name}" ;;
push) push "${2:?name}" "${3:?repository}" ;;
docker) docker_command ;;
*)
	sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2
	exit 2
	;;
esac
