#!/usr/bin/env bash
# Checks that a bundle holds the five roots of Amazon Trust Services and no
# other, by their public keys as https://www.amazontrust.com/repository/ lists
# them.
#
#	roots-test.sh BUNDLE
set -euo pipefail
bundle=${1:?bundle}

want=$(sort <<'KEYS'
fbe3018031f9586bcbf41727e417b7d1c45c2f47f93be372a17b96b50757d5a2
7f4296fc5b6a4e3b35d3c369623e364ab1af381d8fa7121533c9d6c633ea2461
36abc32656acfc645c61b71613c4bf21c787f5cabbee48348d58597803d7abc9
f7ecded5c66047d28ed6466b543c40e0743abe81d109254dcf845d4c2c7853c5
2b071c59a0a0ae76b0eadb2bad23bad4580b69c3601b630c2eaf0613afa83f92
KEYS
)

keys() { # prints the hash of each certificate's public key
	local certificate=
	while IFS= read -r line; do
		certificate+=$line$'\n'
		if [[ $line == *END\ CERTIFICATE* ]]; then
			openssl x509 -noout -pubkey <<<"$certificate" | openssl pkey -pubin -outform der | openssl dgst -sha256 -r | cut -c 1-64
			certificate=
		fi
	done <"$bundle"
}

if [ "$(keys | sort)" != "$want" ]; then
	echo "roots-test: $bundle does not hold the five roots of Amazon Trust Services alone:" >&2
	diff <(echo "$want") <(keys | sort) >&2 || true
	exit 1
fi
echo "roots: the five of Amazon Trust Services"
