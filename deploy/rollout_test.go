package deploy_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/matryer/is"

	"github.com/bbws/order-lambda/deploy"
)

// fakeAWS is the AWS command: it keeps aliases as files, version 2 as the
// newest of every function, and the alarms that are red in the file red. The
// file goes-off names what makes an alarm red: a role and its weights.
const fakeAWS = `#!/usr/bin/env bash
set -euo pipefail
cd "$STATE"
args="$*"
option() { local rest=${args#*"--$1 "}; [ "$rest" != "$args" ] && echo "${rest%% --*}"; }
alias=$(option function-name || true)
case "$1 $2" in
"lambda get-alias")
	[ -e "$alias" ] || printf '1\nbefore: 1\n' >"$alias"
	[ "$(option query)" = FunctionVersion ] && sed -n 1p "$alias" || sed -n 2p "$alias" ;;
"lambda list-versions-by-function") printf '$LATEST\t1\t2\n' ;;
"lambda get-function-configuration") echo "commit sha256:digest" ;;
"lambda update-alias")
	echo "$alias $(option function-version || true) $(option routing-config)" >>calls
	if grep -qsxF "$alias $(option routing-config)" goes-off; then echo bbws-order-service-dev-ticket-late >>red; fi
	if version=$(option function-version); then printf '%s\n%s\n' "$version" "$(option description)" >"$alias"; fi ;;
"cloudwatch describe-alarms") grep -s -e "^$(option alarm-name-prefix)" red || echo None ;;
*) echo "aws $args" >&2; exit 1 ;;
esac
`

// rollout runs the script against a fake AWS whose state are files, and returns
// the calls that changed an alias and what was said.
func rollout(t *testing.T, state, command string) (calls []string, said string, err error) {
	t.Helper()
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "aws"), []byte(fakeAWS), 0o700); err != nil {
		t.Fatal(err)
	}
	_ = os.Remove(filepath.Join(state, "calls"))
	cmd := exec.CommandContext(context.Background(), "./rollout.sh", command, "dev")
	cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "STATE="+state, "SOAK=0")
	out, err := cmd.CombinedOutput()
	text, _ := os.ReadFile(filepath.Join(state, "calls"))
	return strings.FieldsFunc(string(text), func(r rune) bool { return r == '\n' }), string(out), err
}

// running returns the version that each alias points to.
func running(t *testing.T, state string) map[string]string {
	t.Helper()
	versions := map[string]string{}
	files, err := filepath.Glob(filepath.Join(state, "bbws-*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		versions[filepath.Base(file)] = strings.Split(string(text), "\n")[0]
	}
	return versions
}

// all returns the functions of the table of roles, all at one version.
func all(t *testing.T, version string) map[string]string {
	t.Helper()
	roles, err := deploy.Roles()
	if err != nil {
		t.Fatal(err)
	}
	versions := map[string]string{}
	for name := range roles {
		versions["bbws-"+strings.ReplaceAll(name, "_", "-")+"-dev"] = version
	}
	return versions
}

func TestRollout(t *testing.T) {
	t.Run("moves every function, a tenth first, readers before writers", func(t *testing.T) {
		is := is.New(t)
		state := t.TempDir()
		calls, said, err := rollout(t, state, "start")
		is.NoErr(err)                             // said
		is.Equal(running(t, state), all(t, "2"))  // all eight
		is.True(strings.Contains(said, "1 -> 2")) // tells what it does
		is.Equal(len(calls), 16)                  // a weight and a move for each
		position := func(call string) int { return slices.Index(calls, call) }
		whole := " 2 AdditionalVersionWeights={}"
		is.True(position("bbws-create-order-dev"+whole) > position("bbws-order-creator-record-dev"+whole))
		is.True(position("bbws-order-pdf-creator-dev  AdditionalVersionWeights={2=0.1}") == 0)
		is.Equal(position("bbws-create-order-dev  AdditionalVersionWeights={2=0.1}"), 14) // last of the weights

		_, _, err = rollout(t, state, "back")
		is.NoErr(err)
		is.Equal(running(t, state), all(t, "1")) // in one command
	})
	t.Run("takes everything back when an alarm goes off", func(t *testing.T) {
		is := is.New(t)
		state := t.TempDir()
		trigger := []byte("bbws-update-order-dev AdditionalVersionWeights={2=0.1}\n")
		is.NoErr(os.WriteFile(filepath.Join(state, "goes-off"), trigger, 0o600))
		calls, said, err := rollout(t, state, "start")
		is.True(err != nil)
		is.True(strings.Contains(said, "an alarm went off: bbws-order-service-dev-ticket-late"))
		is.True(slices.Contains(calls, "bbws-update-order-dev  AdditionalVersionWeights={}")) // no tenth is left
		for name, version := range running(t, state) {
			is.Equal(name+" "+version, name+" 1") // the first wave went back too
		}
	})
	t.Run("an alarm that was red before is no brake", func(t *testing.T) {
		is := is.New(t)
		state := t.TempDir()
		is.NoErr(os.WriteFile(filepath.Join(state, "red"), []byte("bbws-order-service-dev-ticket-old\n"), 0o600))
		_, _, err := rollout(t, state, "start")
		is.NoErr(err)
		is.Equal(running(t, state), all(t, "2"))
	})
	t.Run("does not begin while a page is red", func(t *testing.T) {
		is := is.New(t)
		state := t.TempDir()
		is.NoErr(os.WriteFile(filepath.Join(state, "red"), []byte("bbws-order-service-dev-page-api-5xx\n"), 0o600))
		calls, said, err := rollout(t, state, "start")
		is.True(err != nil)
		is.Equal(len(calls), 0)
		is.True(strings.Contains(said, "not while a page is red"))
	})
}
