#!/usr/bin/env bash
# Builds the image, looks at it from outside, and runs all eight roles from it against the local stack.
#
# Where the base images cannot be pulled, the very same Dockerfile is built
# against stand-ins made of this machine: its Go for the build image; the
# official Runtime Interface Emulator, which RIE names as a Go package, and an
# entrypoint for Lambda's base. That needs root, and on Debian installs what is
# missing: an engine, and an emulator of arm64.
set -euo pipefail
cd "$(dirname "$0")/.."

name=order-lambda:test
rie=${RIE:?the Go package of the emulator, as the Makefile names it}
arch=${ARCH:-arm64}

say() { echo "--- $*"; }
fail() {
	echo "image-test: $*" >&2
	exit 1
}
sha256() { openssl dgst -sha256 -r | cut -c 1-64; }
expect() { # expect WHAT GOT WANTED
	[ "$2" = "$3" ] || fail "$1 is '$2', not '$3'"
	echo "$1: $2"
}

cleanup=()
tidy() {
	for ((i = ${#cleanup[@]} - 1; i >= 0; i--)); do eval "${cleanup[i]}" || true; done
}
trap tidy EXIT

need() { # need COMMAND PACKAGE
	if command -v "$1" >/dev/null; then return; fi
	if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then fail "$1 is missing: install $2"; fi
	echo "installing $2"
	{ apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$2"; } >/dev/null
}

own_engine() { # an engine of our own, which leaves the machine's alone
	[ "$(id -u)" = 0 ] || fail "no engine reaches the base images, and a Docker engine of its own needs root"
	need dockerd docker.io
	need runc runc
	need busybox busybox-static
	local dir data=$PWD/.cache/image
	dir=$(mktemp -d)
	mkdir -p "$data"
	echo '{"builder": {"gc": {"enabled": false}}}' >"$dir/config" # which keeps half a gigabyte of caches at most
	dockerd --config-file "$dir/config" --data-root "$data" --exec-root "$dir/exec" --pidfile "$dir/pid" -H "unix://$dir/socket" \
		--iptables=false --bridge=none >"$dir/log" 2>&1 &
	cleanup+=("kill $! && wait $!; umount '$dir/exec/netns/default' 2>/dev/null; rm -rf '$dir'")
	export DOCKER_HOST=unix://$dir/socket
	for _ in $(seq 100); do
		if docker=$(deploy/image.sh docker) && [ -n "$docker" ]; then return; fi
		sleep 0.1
	done
	fail "the Docker engine does not start: $(tail -1 "$dir/log")"
}

emulate() { # lets the kernel run the target's programs
	case $arch/$(uname -m) in arm64/aarch64 | amd64/x86_64) return ;; esac
	[ "$arch" = arm64 ] || fail "only arm64 is emulated"
	need qemu-aarch64-static qemu-user-static
	local formats=/proc/sys/fs/binfmt_misc
	if [ ! -e $formats/register ]; then
		mount -t binfmt_misc binfmt_misc $formats
		cleanup+=("umount $formats")
	fi
	if [ ! -e $formats/qemu-aarch64 ]; then
		cat /usr/lib/binfmt.d/qemu-aarch64.conf >$formats/register
		cleanup+=("echo -1 >$formats/qemu-aarch64")
	fi
}

standins() {
	local dir goroot go
	goroot=$(go env GOROOT)
	go=$(go env GOVERSION)
	# The build image is kept, for as long as this file says the same of it.
	export BUILD_IMAGE=standin/build:$go-$(sha256 <deploy/image-test.sh | cut -c 1-12) BASE_IMAGE=standin/base:$arch BUILD_FLAGS="--network host"
	dir=$(mktemp -d)
	cleanup+=("rm -rf '$dir'")
	if ! "$docker" image inspect "$BUILD_IMAGE" >/dev/null 2>&1; then
		mkdir -p "$dir"/build/{bin,etc/ssl/certs,tmp,root,usr/local,usr/share/ca-certificates}
		cp "$(command -v busybox)" "$dir/build/bin/"
		for applet in sh cat find touch; do ln -s busybox "$dir/build/bin/$applet"; done
		cp /etc/ssl/certs/ca-certificates.crt "$dir/build/etc/ssl/certs/"
		cp -r /usr/share/ca-certificates/mozilla "$dir/build/usr/share/ca-certificates/"
		tar -c -C "$dir/build" . --transform "s|^${goroot#/}|usr/local/go|" --exclude="${goroot#/}/test" -C / "${goroot#/}" |
			"$docker" import -c 'ENV PATH=/usr/local/go/bin:/bin' - "$BUILD_IMAGE" >/dev/null
	fi
	mkdir -p "$dir"/base/{usr/local/bin,etc/ssl/certs,tmp,var/task,var/runtime}
	cp /etc/ssl/certs/ca-certificates.crt "$dir/base/etc/ssl/certs/"
	# go install puts what it builds for another architecture into a directory of that.
	GOPATH=$dir/go GOMODCACHE=$(go env GOMODCACHE) CGO_ENABLED=0 GOOS=linux GOARCH=$arch go install "$rie"
	find "$dir/go/bin" -name aws-lambda-rie -exec cp {} "$dir/base/usr/local/bin/" \;
	CGO_ENABLED=0 GOARCH=$arch go build -trimpath -ldflags "-s -w" -o "$dir/base/lambda-entrypoint.sh" ./deploy/standin
	printf '%s\n' 'FROM scratch' 'COPY . /' 'ENV LAMBDA_TASK_ROOT=/var/task LAMBDA_RUNTIME_DIR=/var/runtime' \
		'WORKDIR /var/task' 'ENTRYPOINT ["/lambda-entrypoint.sh"]' >"$dir/base.Dockerfile"
	DOCKER_BUILDKIT=1 "$docker" build -q --platform "linux/$arch" -t "$BASE_IMAGE" -f "$dir/base.Dockerfile" "$dir/base" >/dev/null
}

base=${BASE_IMAGE:-$(sed -n 's/^ARG BASE_IMAGE=//p' Dockerfile)}
docker=$(deploy/image.sh docker)
if [ -z "$docker" ] || ! "$docker" pull -q --platform "linux/$arch" "$base" >/dev/null 2>&1; then
	say "stand-ins, since $base cannot be had here"
	if [ -z "$docker" ]; then own_engine; fi
	standins
	base=$BASE_IMAGE
fi
emulate

timed() { # timed WHAT COMMAND…
	local what=$1 start=$SECONDS
	shift
	"$@" >"$log" 2>&1 || { cat "$log" >&2 && fail "$what failed"; }
	echo "$what: $((SECONDS - start)) s"
}
log=$(mktemp)
cleanup+=("rm -f '$log'")
revision=$(git describe --always --abbrev=40 --exclude '*' --dirty)
committed=$(git log -1 --format=%ct)

say "build"
timed "image, first build" deploy/image.sh build "$name"
timed "image, nothing changed" deploy/image.sh build "$name"

say "what is in it"
look() { "$docker" image inspect -f "$1" "$name"; }
expect platform "$(look '{{.Os}}/{{.Architecture}}')" "linux/$arch"
expect entrypoint "$(look '{{json .Config.Entrypoint}}')" "$("$docker" image inspect -f '{{json .Config.Entrypoint}}' "$base")"
expect command "$(look '{{json .Config.Cmd}}')" '["bootstrap"]'
environment() { "$docker" image inspect -f '{{range .Config.Env}}{{println .}}{{end}}' "$1" | sed '/^$/d' | sort; }
expect "environment beyond the base" "$(comm -23 <(environment "$name") <(environment "$base") | xargs)" \
	"SSL_CERT_DIR=/var/empty SSL_CERT_FILE=/var/runtime/roots.pem"
expect "label revision" "$(look '{{index .Config.Labels "org.opencontainers.image.revision"}}')" "$revision"
[[ $(look '{{index .Config.Labels "org.opencontainers.image.source"}}') == https://* ]] || fail "no label source"
expect "layers beyond the base" "$(($(look '{{len .RootFS.Layers}}') - $("$docker" image inspect -f '{{len .RootFS.Layers}}' "$base")))" 1
layer=$(mktemp -d)
mkdir "$layer/files"
cleanup+=("rm -rf '$layer'")
"$docker" save "$name" | tar -x -C "$layer"
tar -x -C "$layer/files" -f "$layer/$(grep -o '"Layers":\[[^]]*' "$layer/manifest.json" | grep -o '[^"]*' | tail -1)"
expect "files in that layer" "$(cd "$layer/files" && find . ! -type d | sort | xargs)" "./var/runtime/bootstrap ./var/runtime/roots.pem"
deploy/roots-test.sh "$layer/files/var/runtime/roots.pem"
expect "time of the file" "$(date -r "$layer/files/var/runtime/bootstrap" +%s)" "$committed"
# Elsewhere on the disk and from another cache, the same compiler must make the same bytes.
if [ "$base" = "${BASE_IMAGE:-}" ]; then toolchain=local; else toolchain=$(sed -n 's/^ARG BUILD_IMAGE=.*golang:\([0-9.]*\).*/go\1/p' Dockerfile); fi
GOTOOLCHAIN=$toolchain CGO_ENABLED=0 GOARCH=$arch go build -trimpath -buildvcs=false -tags lambda.norpc -ldflags "-s -w" -o "$layer/bootstrap" .
expect "bytes as built outside" "$(sha256 <"$layer/files/var/runtime/bootstrap")" "$(sha256 <"$layer/bootstrap")"
size=$(($(look '{{.Size}}') - $("$docker" image inspect -f '{{.Size}}' "$base")))
echo "size beyond the base: $((size / 1000)) kB"
[ "$size" -lt 40000000 ] || fail "the image grew beyond 40 MB over its base"

say "cold start without ROLE"
# As on Lambda: the entrypoint finds a Runtime API and runs the binary as it is.
if answer=$("$docker" run --rm --network none --platform "linux/$arch" -e AWS_LAMBDA_RUNTIME_API=127.0.0.1:9 "$name" 2>&1); then
	fail "an image without ROLE starts"
else
	expect "exit status" $? 1
fi
echo "$answer"
[[ $answer == *"ROLE is missing"* && $answer == *customer_order_confirmation* ]] || fail "an image without ROLE does not say so"

say "the eight roles from the image, under its emulator"
go run ./local invoke -docker "$docker" -image "$name" -all
