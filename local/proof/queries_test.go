package proof

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/matryer/is"

	"github.com/bbws/order-lambda/roles"
)

// queries is where the questions to the logs are.
const queries = "../../deploy/queries"

// discovered are the fields that Logs Insights finds by itself in the log of a
// function in the format Text, and that the queries may use. Source: "Supported
// logs and discovered fields" of the CloudWatch Logs user guide; @initDuration,
// which is only in the report of a cold start, is in its sample queries.
var discovered = []string{
	"@timestamp", "@message", "@log", "@logStream", "@ingestionTime", "@requestId",
	"@duration", "@billedDuration", "@initDuration", "@type",
	"@maxMemoryUsed", "@memorySize", "@xrayTraceId", "@xraySegmentId",
}

// TestQueriesAskForWhatIsLogged holds the queries of Logs Insights to lines
// that the roles write, at the level that is deployed: a field of another name
// would be an empty column, and in a filter an empty answer.
func TestQueriesAskForWhatIsLogged(t *testing.T) {
	lines := logged(t)
	files, err := fs.Glob(os.DirFS(queries), "*")
	if err != nil {
		t.Fatal(err)
	}
	is.New(t).True(len(files) > 0)
	for _, file := range files {
		t.Run(file, func(t *testing.T) {
			is := is.New(t)
			query, err := os.ReadFile(filepath.Join(queries, file))
			is.NoErr(err)
			is.True(bytes.HasPrefix(query, []byte("# "))) // says what it shows
			of := lines
			if strings.HasPrefix(file, "api-") {
				of = []map[string]any{accessLine(t)}
			}
			is.Equal(unknown(string(query), of), nil)
		})
	}
}

// Lines that Lambda itself writes, with the fields that Logs Insights makes of
// them. Source: "Lambda function logs" and "Troubleshoot execution issues" in
// the AWS Lambda developer guide.
var (
	report = map[string]any{
		"@type": "REPORT", "@duration": 812.4, "@initDuration": 96.1, "@maxMemoryUsed": 61e6, "@memorySize": 512e6,
		"@message": "REPORT RequestId: 5a1e\tDuration: 812.40 ms\tBilled Duration: 909 ms\tMemory Size: 512 MB\t" +
			"Max Memory Used: 61 MB\tInit Duration: 96.10 ms\t",
	}
	timedOut    = map[string]any{"@message": "2026-01-02T08:30:00.123Z 5a1e Task timed out after 30.03 seconds"}
	timedOutNew = map[string]any{
		"@type": "REPORT", "@duration": 30000.0,
		"@message": "REPORT RequestId: 5a1e\tDuration: 30000.00 ms\tMax Memory Used: 80 MB\tStatus: timeout",
	}
	exited = map[string]any{
		"@message": "RequestId: 5a1e Error: Runtime exited with error: exit status 1\nRuntime.ExitError",
	}
	outOfMemory = map[string]any{
		"@type": "REPORT", "@duration": 900.0,
		"@message": "REPORT RequestId: 5a1e\tDuration: 900.00 ms\tStatus: error\tError Type: Runtime.OutOfMemory",
	}
	startTimeOut = map[string]any{"@message": "INIT_REPORT Init Duration: 9999.12 ms\tPhase: init\tStatus: timeout"}
)

// TestQueriesShow puts each question to real lines: what it must show, and what
// it must not.
func TestQueriesShow(t *testing.T) {
	lines := logged(t)
	find := func(field string, value any) map[string]any {
		t.Helper()
		for _, line := range lines {
			if line[field] == value {
				return line
			}
		}
		t.Fatalf("no role logs %s %v", field, value)
		return nil
	}
	with := func(line map[string]any, field string, value any) map[string]any {
		line = maps.Clone(line)
		line[field] = value
		return line
	}
	failed, lost, broken := find("message", "message failed"), find("reason", "cart not found"), find("code", "internal")
	recorded, answered := find("message", "order recorded"), find("message", "request answered")
	panicked, refused := map[string]any{"message": "message handler panicked"}, accessLine(t)
	const wanted = "00000000-0000-4000-8000-000000000000" // the order that order-trail asks for
	type these = []map[string]any
	for file, want := range map[string]struct{ shows, hides []map[string]any }{
		"crashes": {
			these{timedOut, timedOutNew, exited, outOfMemory, startTimeOut, panicked},
			these{report, failed, answered},
		},
		"dead-letters":        {these{with(failed, "receives", 3.0)}, these{failed, with(recorded, "receives", 3.0), report}},
		"failures-by-reason":  {these{failed, lost, broken}, these{recorded, answered, report}},
		"order-trail":         {these{with(recorded, "orderId", wanted)}, these{recorded, report}},
		"slowest-invocations": {these{report, timedOutNew}, these{answered, timedOut}},
		"cold-starts":         {these{report}, these{answered}},
		"api-refusals": {
			these{with(refused, "status", 401.0), with(refused, "status", 502.0)},
			these{with(refused, "status", 202.0)},
		},
	} {
		t.Run(file, func(t *testing.T) {
			is := is.New(t)
			query, err := os.ReadFile(filepath.Join(queries, file+".logs"))
			is.NoErr(err)
			for _, line := range want.shows {
				is.True(lets(t, string(query), line)) // shows it
			}
			for _, line := range want.hides {
				is.True(!lets(t, string(query), line)) // hides it
			}
		})
	}
}

// test is one comparison of a filter.
var test = regexp.MustCompile(`(@?\w+)\s*(=|>=|in|like)\s*(\[[^\]]*\]|"[^"]*"|/(?:[^/])*/|\d+)`)

// lets reports whether the filters of a query let a line pass. It knows
// comparisons that are joined by "and", which is all that the queries use.
func lets(t *testing.T, query string, line map[string]any) bool {
	t.Helper()
	pass := true
	for _, command := range regexp.MustCompile(`(?m)^(?:\| )?filter (.*)$`).FindAllStringSubmatch(query, -1) {
		rest := test.ReplaceAllString(command[1], "")
		if strings.TrimSpace(strings.ReplaceAll(rest, "and", "")) != "" {
			t.Fatalf("the test does not understand %q", command[1])
		}
		for _, m := range test.FindAllStringSubmatch(command[1], -1) {
			value := line[m[1]]
			if m[1] == "@message" && value == nil {
				text, _ := json.Marshal(line)
				value = string(text)
			}
			text, _ := value.(string)
			number, isNumber := value.(float64)
			switch m[2] {
			case "like":
				pass = pass && regexp.MustCompile(strings.Trim(m[3], "/")).MatchString(text)
			case ">=":
				least, _ := strconv.ParseFloat(m[3], 64)
				pass = pass && isNumber && number >= least
			default: // one text of several
				pass = pass && slices.Contains(quoted.FindAllString(m[3], -1), `"`+text+`"`)
			}
		}
	}
	return pass
}

// accessLine returns a line of the API's access log, with the fields that the
// stage writes.
func accessLine(t *testing.T) map[string]any {
	t.Helper()
	text, err := os.ReadFile("../../deploy/service/api.tf")
	if err != nil {
		t.Fatal(err)
	}
	line := map[string]any{}
	for _, m := range regexp.MustCompile(`(?m)^ +(\w+) += "\$context`).FindAllStringSubmatch(string(text), -1) {
		line[m[1]] = "x"
	}
	return line
}

// TestEveryRoleTellsOfTheOrder holds the trail of an order to its way: no role
// that handles it is missing.
func TestEveryRoleTellsOfTheOrder(t *testing.T) {
	tells := map[any]bool{}
	for _, line := range logged(t) {
		if line["orderId"] != nil && line["level"] == "info" {
			tells[line["role"]] = true
		}
	}
	for _, role := range roles.All() {
		is.New(t).Equal(tells[role.Name], role.Name != "list_orders") // role
	}
}

// TestUnknownFieldsAreFound shows that the test above can fail.
func TestUnknownFieldsAreFound(t *testing.T) {
	lines := []map[string]any{
		{"level": "info", "orderId": "1", "durationMs": 2.0},
		{"level": "error", "reason": "x", "orderId": "2"},
	}
	for query, want := range map[string][]string{
		"fields @timestamp, level, durationMs # reson\n| filter orderId = \"reson\"\n| sort @timestamp asc\n| limit 10": nil,
		"fields level, durationMS":                              {"durationMS"},
		"fields @timestmp":                                      {"@timestmp"},
		"filter levl = \"error\"":                               {"levl"},
		"filter level = \"fatal\"":                              {"level"},      // no line has it
		"filter level in [\"error\", \"warn\"] | fields reason": {"level"},      // one is enough to be wrong
		"filter level in [\"error\"]\n| fields durationMs":      {"durationMs"}, // it is in other lines only
		"filter level in [\"error\"]\n| stats count(*) as lines, latest(reson) as last by level | sort lines desc": {"reson"},
		"stats count(*) as lines by orderID": {"orderID"},
		"sort lines desc":                    {"lines"}, // a name that nothing gives
		"fields 100 * durationMs / count(*) as share, pct(durationMs, 95) | sort share": nil,
	} {
		is.New(t).Equal(unknown(query, lines), want) // query
	}
}

var (
	comment = regexp.MustCompile(`(?m)#.*$`)
	quoted  = regexp.MustCompile(`"[^"]*"`)
	pattern = regexp.MustCompile(`like /[^/]*/`)
	alias   = regexp.MustCompile(`\bas\s+(\w+)`)
	// word is a number with its unit, or a name, with a bracket behind it
	// if it is that of a function.
	word = regexp.MustCompile(`\d\w*|@?[A-Za-z_]\w*\s*\(?`)
	// condition is the part of a filter that compares a field with texts.
	condition = regexp.MustCompile(`\bfilter\s+(@?\w+)\s*(?:=|in)\s*(\[[^\]]*\]|"[^"]*")`)
	language  = []string{
		"fields", "filter", "stats", "sort", "limit", "by", "as", "asc", "desc", "in", "and", "or", "not", "like",
	}
)

// unknown returns the fields of a query that are neither discovered nor in any
// of the lines that its filters let pass, and those that a filter compares with
// what none of them has.
func unknown(query string, lines []map[string]any) (fields []string) {
	query = comment.ReplaceAllString(query, "")
	for _, m := range condition.FindAllStringSubmatch(query, -1) {
		if m[1] == "orderId" { // whichever is put there
			lines = slices.DeleteFunc(slices.Clone(lines), func(line map[string]any) bool { return line["orderId"] == nil })
		} else if !strings.HasPrefix(m[1], "@") {
			var let []map[string]any
			for _, value := range quoted.FindAllString(m[2], -1) {
				having := slices.DeleteFunc(slices.Clone(lines), func(line map[string]any) bool {
					return line[m[1]] != strings.Trim(value, `"`)
				})
				if len(having) == 0 && !slices.Contains(fields, m[1]) {
					fields = append(fields, m[1])
				}
				let = append(let, having...)
			}
			if len(let) > 0 {
				lines = let
			}
		}
	}
	query = pattern.ReplaceAllString(quoted.ReplaceAllString(query, ""), "")
	known := slices.Concat(discovered, language)
	for _, m := range alias.FindAllStringSubmatch(query, -1) {
		known = append(known, m[1])
	}
	for _, line := range lines {
		known = slices.AppendSeq(known, maps.Keys(line))
	}
	for _, name := range word.FindAllString(query, -1) {
		name = strings.TrimSpace(name)
		isField := !strings.HasSuffix(name, "(") && (name[0] < '0' || name[0] > '9')
		if isField && !slices.Contains(known, name) && !slices.Contains(fields, name) {
			fields = append(fields, name)
		}
	}
	return fields
}

// logged returns what the roles log at INFO in the life of an order: when all is
// well, when a service that they call fails, and for a cart that is gone.
func logged(t *testing.T) (lines []map[string]any) {
	t.Helper()
	for _, s := range scenes(t) {
		well, gone := newWorld(time.Now), newWorld(time.Now)
		gone.Cart = func(string, string) Answer { return Answer{Status: http.StatusNotFound} }
		well.Table.Restore(s.Items...)
		gone.Table.Restore(s.Items...)
		for _, services := range []services{well, gone, failing{}} {
			lines = append(lines, invoke(t, well.Env(s.Role), s.Event, services)...)
		}
	}
	return lines
}

// services are AWS and the Cart API.
type services interface {
	aws.HTTPClient
	http.RoundTripper
}

// failing are services that fail.
type failing struct{}

// RoundTrip implements http.RoundTripper.
func (failing) RoundTrip(req *http.Request) (*http.Response, error) {
	return Answer{Status: http.StatusInternalServerError}.Response(req), nil
}

// Do makes them the HTTP client of the AWS SDK.
func (f failing) Do(req *http.Request) (*http.Response, error) { return f.RoundTrip(req) }

// invoke returns the lines that a role logs about an event.
func invoke(t *testing.T, env map[string]string, event []byte, services services) (lines []map[string]any) {
	t.Helper()
	var out bytes.Buffer
	h := newHandler(t, env, roles.Deps{AWS: awsConfig(services), Transport: services, Stdout: &out, Now: time.Now})
	ctx := lambdacontext.NewContext(t.Context(), &lambdacontext.LambdaContext{AwsRequestID: "request-1"})
	_, _ = h.Invoke(ctx, event) // what fails is to be in the log
	for text := range bytes.Lines(out.Bytes()) {
		var line map[string]any
		if err := json.Unmarshal(text, &line); err != nil {
			t.Fatalf("%s logs %q: %v", env["ROLE"], text, err)
		}
		lines = append(lines, line)
	}
	return lines
}
