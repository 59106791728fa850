#!/usr/bin/env bash
# Moves the alias live of the functions to their newest version, a tenth of the
# calls first, with the alarms as brake; and back.
#
#	rollout.sh start ENV     after terraform apply: in three waves
#	rollout.sh back ENV      every function to the version that it ran before
#	rollout.sh status ENV    what each function runs, and what it was made from
#
# It stops, and takes back what it moved, when an alarm goes off that was silent
# at the start. It does not begin while a page is red. SOAK (300) is how many
# seconds a tenth of the calls go to the new version. AWS_REGION and credentials
# are the environment's.
set -euo pipefail

env=${2:-}
soak=${SOAK:-300}

# Who reads comes before who writes: a message or an item of the new version
# never meets a reader of the old one.
waves=(
	"order-pdf-creator order-internal-notifier customer-order-confirmation get-order list-orders"
	"order-creator-record update-order"
	"create-order"
)

name() { echo "bbws-$1-$env"; }

alias_field() { # ROLE FIELD
	aws lambda get-alias --function-name "$(name "$1")" --name live --query "$2" --output text
}

newest() { # ROLE
	aws lambda list-versions-by-function --function-name "$(name "$1")" --query 'Versions[].Version' --output text |
		tr '\t' '\n' | grep -v LATEST | sort -n | tail -1
}

weigh() { # ROLE WEIGHTS: the share of calls of another version, {} for none
	aws lambda update-alias --function-name "$(name "$1")" --name live --routing-config "AdditionalVersionWeights=$2" >/dev/null
}

move() { # ROLE VERSION BEFORE
	aws lambda update-alias --function-name "$(name "$1")" --name live --function-version "$2" \
		--routing-config "AdditionalVersionWeights={}" --description "before: $3" >/dev/null
	echo "$(name "$1"): $3 -> $2"
}

red() { # [URGENCY-]
	aws cloudwatch describe-alarms --alarm-name-prefix "bbws-order-service-$env-${1:-}" --state-value ALARM \
		--query 'MetricAlarms[].AlarmName' --output text | tr '\t' '\n' | sed '/^None$/d;/^$/d' | sort
}

weighed=() # roles of which a tenth is on the new version
moved=()   # "ROLE VERSION BEFORE" that this run has moved whole

take_back() {
	local role row
	trap '' INT TERM
	# Bash before 4.4, as on macOS, holds an empty array for unset.
	for role in ${weighed[@]+"${weighed[@]}"}; do weigh "$role" '{}'; done
	for row in ${moved[@]+"${moved[@]}"}; do
		read -r role new old <<<"$row"
		move "$role" "$old" "$new"
	done
	echo "rollout: taken back" >&2
	exit 1
}

watch_alarms() {
	local end=$((SECONDS + soak)) fresh
	while :; do
		fresh=$(comm -13 <(echo "$before_red") <(red))
		if [ -n "$fresh" ]; then
			echo "rollout: an alarm went off: $fresh" >&2
			take_back
		fi
		((SECONDS < end)) || return 0
		sleep "$((soak < 15 ? 1 : 15))"
	done
}

start() {
	local wave role old new
	if [ -n "$(red page-)" ]; then
		echo "rollout: not while a page is red: $(red page-)" >&2
		exit 1
	fi
	before_red=$(red)
	trap take_back INT TERM
	for wave in "${waves[@]}"; do
		weighed=()
		for role in $wave; do
			old=$(alias_field "$role" FunctionVersion)
			new=$(newest "$role")
			if [ "$old" = "$new" ]; then
				echo "$(name "$role"): runs $new already"
				continue
			fi
			weigh "$role" "{$new=0.1}"
			weighed+=("$role")
		done
		if [ ${#weighed[@]} = 0 ]; then continue; fi
		echo "rollout: a tenth of ${weighed[*]} for $soak s"
		watch_alarms
		for role in "${weighed[@]}"; do
			old=$(alias_field "$role" FunctionVersion)
			new=$(newest "$role")
			move "$role" "$new" "$old"
			moved+=("$role $new $old")
		done
		weighed=()
	done
	if [ ${#moved[@]} -gt 0 ]; then watch_alarms; fi # the last wave, whole
}

back() {
	local role was
	for role in ${waves[2]} ${waves[1]} ${waves[0]}; do # who writes first
		was=$(alias_field "$role" Description)
		if [[ ! $was =~ ^before:\ [0-9]+$ ]]; then
			echo "rollout: $(name "$role") does not say what it ran before: $was" >&2
			exit 1
		fi
		move "$role" "${was#before: }" "$(alias_field "$role" FunctionVersion)"
	done
}

status() {
	local role
	for role in ${waves[*]}; do
		echo "$(name "$role") $(alias_field "$role" FunctionVersion) ($(alias_field "$role" Description)):" \
			"$(aws lambda get-function-configuration --function-name "$(name "$role")" --qualifier live --query Description --output text)"
	done
}

case "${1:-} $env" in
"start "?* | "back "?* | "status "?*) "$1" ;;
*)
	sed -n '2,/^set/s/^# \{0,1\}//p' "$0" | sed '$d' >&2
	exit 2
	;;
esac
