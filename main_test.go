package main

import (
	"bytes"
	"context"
	"encoding/json"
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
