#!/usr/bin/env bash
# Copies one image from an environment's repository to another's, by digest,
# with what refers to it: signature and SBOM. What was tested is what runs.
#
#	promote.sh FROM@sha256:… TO TAG
#
# Both repositories must be logged in to (docker login; or oras login). Nothing
# is rebuilt and nothing is pulled into an engine, so the digest stays the same;
# the script asks for it once more at the end. PLAIN=1 speaks HTTP, for a
# registry on this machine.
set -euo pipefail

if [ $# != 3 ] || [[ ! $1 =~ @sha256:[0-9a-f]{64}$ ]]; then
	sed -n '2,/^set/s/^# \{0,1\}//p' "$0" | sed '$d' >&2
	exit 2
fi
from=$1 to=$2 tag=$3
digest=${from#*@}

oras() { ${ORAS:-go run oras.land/oras/cmd/oras@v1.3.6} "$@"; }

# shellcheck disable=SC2086 # two flags or none
oras cp --recursive ${PLAIN:+--from-plain-http --to-plain-http} "$from" "$to:$tag" >&2
there=$(oras resolve ${PLAIN:+--plain-http} "$to:$tag")
if [ "$there" != "$digest" ]; then
	echo "promote: $to:$tag is $there, not $digest: another image had this tag" >&2
	exit 1
fi
echo "$digest"
