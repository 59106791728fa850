package main

import (
	"bytes"
	"context"
	"encoding/json"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/matryer/is"
)

func TestRun(t *testing.T) {
	for _, tt := range []struct {
		name string
		env  map[string]string
		want []string
	}{
		{"an unknown role", map[string]string{"ROLE": "nonsense"}, []string{`"nonsense"`, "create_order", "customer_order_confirmation"}},
		{"missing settings", map[string]string{"ROLE": "get_order"}, []string{
			"role get_order", "ENVIRONMENT is missing", "AWS_REGION is missing", "DYNAMODB_TABLE_NAME is missing", "S3_ORDERS_BUCKET is missing",
		}},
	} {
		t.Run("stops in one line for "+tt.name, func(t *testing.T) {
			is := is.New(t)
			var out bytes.Buffer
			err := run(context.Background(), func(name string) string { return tt.env[name] }, &out)
			is.True(err != nil)
			is.Equal(strings.Count(out.String(), "\n"), 1)
			var line struct{ Level, Role, Error string }
			is.NoErr(json.Unmarshal(out.Bytes(), &line))
			is.Equal(line.Level, "error")
			is.Equal(line.Role, tt.env["ROLE"])
			for _, want := range tt.want {
				is.True(strings.Contains(line.Error, want)) // want
			}
		})
	}
}

func TestTuneGC(t *testing.T) {
	percent, limit := debug.SetGCPercent(100), debug.SetMemoryLimit(-1)
	defer func() {
		debug.SetGCPercent(percent)
		debug.SetMemoryLimit(limit)
	}()
	for _, tt := range []struct {
		name        string
		env         map[string]string
		wantPercent int
		wantLimit   int64
	}{
		{"stays below the function's memory", map[string]string{"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256"}, 400, 192 << 20},
		{"sets no limit where the memory is not known", nil, 400, 1 << 40},
		{"leaves to the operator what the operator sets", map[string]string{"GOGC": "50", "GOMEMLIMIT": "1GiB", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256"}, 100, 1 << 40},
	} {
		t.Run(tt.name, func(t *testing.T) {
			is := is.New(t)
			debug.SetGCPercent(100)
			debug.SetMemoryLimit(1 << 40)
			tuneGC(func(name string) string { return tt.env[name] })
			is.Equal(debug.SetGCPercent(100), tt.wantPercent)
			is.Equal(debug.SetMemoryLimit(-1), tt.wantLimit)
		})
	}
}
