package main

import (
	"bytes"
	"context"
	"encoding/json"
	"log"
	"os/exec"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/matryer/is"
	"github.com/rs/zerolog"
)

func TestRun(t *testing.T) {
	for _, tt := range []struct {
		name string
		role string
		want []string
	}{
		{"an unknown role", "nonsense", []string{`"nonsense"`, "create_order", "customer_order_confirmation"}},
		{"missing settings", "get_order", []string{
			"role get_order", "ENVIRONMENT is missing", "AWS_REGION is missing",
			"DYNAMODB_TABLE_NAME is missing", "S3_ORDERS_BUCKET is missing",
		}},
	} {
		t.Run("stops in one line for "+tt.name, func(t *testing.T) {
			is := is.New(t)
			keepGC(t)
			env := map[string]string{"ROLE": tt.role}
			var out bytes.Buffer
			err := run(context.Background(), func(name string) string { return env[name] }, &out)
			is.True(err != nil)
			is.Equal(strings.Count(out.String(), "\n"), 1)
			var line struct{ Level, Role, Error string }
			is.NoErr(json.Unmarshal(out.Bytes(), &line))
			is.Equal(line.Level, "error")
			is.Equal(line.Role, tt.role)
			for _, want := range tt.want {
				is.True(strings.Contains(line.Error, want)) // want
			}
		})
	}
}

func TestTuneGC(t *testing.T) {
	const unlimited = 1 << 40
	for _, tt := range []struct {
		name        string
		env         map[string]string
		wantPercent int
		wantLimit   int64
	}{
		{"stays below the function's memory", map[string]string{
			"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
		}, 400, 192 << 20},
		{"sets no limit where the memory is not known", nil, 400, unlimited},
		{"leaves alone what is set", map[string]string{
			"GOGC": "50", "GOMEMLIMIT": "1GiB", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
		}, 100, unlimited},
	} {
		t.Run(tt.name, func(t *testing.T) {
			is := is.New(t)
			keepGC(t)
			debug.SetGCPercent(100)
			debug.SetMemoryLimit(unlimited)
			tuneGC(func(name string) string { return tt.env[name] })
			is.Equal(debug.SetGCPercent(100), tt.wantPercent)
			is.Equal(debug.SetMemoryLimit(-1), tt.wantLimit)
		})
	}
}

// keepGC restores the collector's settings after a test.
func keepGC(t *testing.T) {
	percent, limit := debug.SetGCPercent(100), debug.SetMemoryLimit(-1)
	t.Cleanup(func() {
		debug.SetGCPercent(percent)
		debug.SetMemoryLimit(limit)
	})
}

func TestLibraryLog(t *testing.T) {
	t.Run("makes a line of the standard logger a JSON object", func(t *testing.T) {
		is := is.New(t)
		var out bytes.Buffer
		log.New(libraryLog{zerolog.New(&out)}, "", 0).Print("no more")
		is.Equal(out.String(), `{"level":"error","message":"no more"}`+"\n")
	})
}

// TestLinked keeps out of the binary what every cold start would pay for and
// nobody sees in the code.
func TestLinked(t *testing.T) {
	is := is.New(t)
	// With its schemas, a client builds its whole model before main. They come
	// with newer versions than those in go.mod; make bench ONLY=cold shows the
	// cost. See https://github.com/aws/aws-sdk-go-v2/issues/3432.
	const schemas = "it builds the service's whole model before main"
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "-tags", "lambda.norpc", ".").Output()
	is.NoErr(err)
	for name := range strings.FieldsSeq(string(out)) {
		for _, unwanted := range []struct{ suffix, why string }{
			{"/sesv2/schemas", schemas},
			{"/sqs/schemas", schemas},
			{"/dynamodb/schemas", schemas},
			{"/dynamodbstreams/schemas", schemas},
			{"/aws-sdk-go-v2/config", "awsenv does without profiles, SSO, STS and EC2"},
			{"/notify/templates", "a function reads its templates from S3"},
			{"/invoice/branding", "a function reads its branding from S3"},
			{"net/rpc", "the build tag lambda.norpc leaves it out"},
		} {
			if strings.HasSuffix(name, unwanted.suffix) {
				t.Errorf("%s is linked: %s", name, unwanted.why)
			}
		}
	}
}
