package roles

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/matryer/is"

	"github.com/bbws/order-lambda/deploy"
)

// complete is an environment in which every role starts.
func complete(role string) map[string]string {
	return map[string]string{
		"ROLE":                        role,
		"ENVIRONMENT":                 "dev",
		"AWS_REGION":                  "eu-west-1",
		"DYNAMODB_TABLE_NAME":         "orders",
		"SQS_QUEUE_URL":               "https://sqs.eu-west-1.amazonaws.com/123456789012/queue",
		"ORDER_EVENTS_TOPIC_ARN":      "arn:aws:sns:eu-west-1:123456789012:topic",
		"CART_LAMBDA_API_URL":         "https://api-dev.bbws.io/v1.0/cart",
		"S3_ORDERS_BUCKET":            "orders",
		"S3_EMAIL_TEMPLATES_BUCKET":   "templates",
		"SES_FROM_ADDRESS":            "Orders <test@kimmyai.io>",
		"INTERNAL_NOTIFICATION_EMAIL": "team@kimmyai.io, sales@kimmyai.io",
	}
}

func getter(env map[string]string) func(string) string {
	return func(name string) string { return env[name] }
}

func TestRoles(t *testing.T) {
	deployed, err := deploy.Roles()
	if err != nil {
		t.Fatal(err)
	}
	is.New(t).Equal(len(All()), 8)
	for _, role := range All() {
		t.Run(role.Name, func(t *testing.T) {
			is := is.New(t)
			settings, err := Configure(getter(complete(role.Name)))
			is.NoErr(err)
			is.Equal(settings.Role(), role.Name)
			// Build asks for no setting that the role does not declare: it would panic.
			is.True(Build(settings, Deps{AWS: aws.Config{Region: "eu-west-1"}, Transport: http.DefaultTransport, Stdout: io.Discard, Now: atNoon}) != nil)

			names := []string{}
			for _, s := range role.Settings {
				names = append(names, s.Name)
			}
			want := deployed[role.Name].Settings
			is.Equal(slices.Sorted(slices.Values(names)), slices.Sorted(slices.Values(want))) // what deploy/ gives it is what it reads
		})
	}
}

func TestConfigure(t *testing.T) {
	for _, tt := range []struct {
		name   string
		role   string
		change map[string]string
		want   string // the error, "" for none
	}{
		{"no role", "", nil, "ROLE is missing, must be one of create_order, get_order, list_orders, update_order, order_creator_record, order_pdf_creator, order_internal_notifier, customer_order_confirmation"},
		{"an unknown role", "nonsense", nil, `ROLE "nonsense" is unknown, must be one of create_order, get_order, list_orders, update_order, order_creator_record, order_pdf_creator, order_internal_notifier, customer_order_confirmation`},
		{"everything", "create_order", nil, ""},
		{"all that is missing and malformed", "order_creator_record", map[string]string{
			"ENVIRONMENT": "qa", "AWS_REGION": "", "LOG_LEVEL": "loud", "ENABLE_XRAY": "yes", "DYNAMODB_TABLE_NAME": " ",
			"SQS_QUEUE_URL": "queue", "ORDER_EVENTS_TOPIC_ARN": "topic", "CART_LAMBDA_API_URL": "ftp://x", "TAX_RATE": "15",
		}, `role order_creator_record: ENVIRONMENT "qa" must be one of dev, sit, prod; AWS_REGION is missing; ` +
			`LOG_LEVEL "loud" must be one of DEBUG, INFO, WARN, ERROR; ENABLE_XRAY "yes" must be one of true, false; ` +
			`DYNAMODB_TABLE_NAME is missing; SQS_QUEUE_URL "queue" must be an http or https URL; ` +
			`ORDER_EVENTS_TOPIC_ARN "topic" must be the ARN of an SNS topic; CART_LAMBDA_API_URL "ftp://x" must be an http or https URL; ` +
			`TAX_RATE "15" must be a decimal from 0 to 1 with at most six decimals`},
		{
			"addresses that are none", "order_internal_notifier",
			map[string]string{"SES_FROM_ADDRESS": "x", "INTERNAL_NOTIFICATION_EMAIL": "a@example.com;b"},
			`role order_internal_notifier: SES_FROM_ADDRESS "x" must be an e-mail address, with or without a display name; ` +
				`INTERNAL_NOTIFICATION_EMAIL "a@example.com;b" must be one or several e-mail addresses with commas between`,
		},
		{"what other roles need", "get_order", map[string]string{"SQS_QUEUE_URL": "", "SES_FROM_ADDRESS": "", "TAX_RATE": "x"}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			is := is.New(t)
			env := complete(tt.role)
			for k, v := range tt.change {
				env[k] = v
			}
			_, err := Configure(getter(env))
			if tt.want == "" {
				is.NoErr(err)
				return
			}
			is.True(err != nil)
			is.Equal(err.Error(), tt.want)
		})
	}
	t.Run("takes defaults", func(t *testing.T) {
		is := is.New(t)
		s, err := Configure(getter(complete("order_creator_record")))
		is.NoErr(err)
		is.Equal(s.get("TAX_RATE"), "0.15")
		is.Equal(s.get("LOG_LEVEL"), "INFO")
		s, err = Configure(getter(complete("customer_order_confirmation")))
		is.NoErr(err)
		is.Equal(s.get("SES_REPLY_TO_ADDRESS"), "support@kimmyai.io")
		is.Equal(s.get("CUSTOMER_PORTAL_URL"), "https://portal.kimmyai.io")
	})
	t.Run("gives no setting that the role does not declare", func(t *testing.T) {
		is := is.New(t)
		s, err := Configure(getter(complete("get_order")))
		is.NoErr(err)
		defer func() { is.True(recover() != nil) }()
		s.get("TAX_RATE")
	})
}

// observedLines invokes a handler within what every invocation shares, and returns its log lines.
func observedLines(t *testing.T, level string, h handler, invocations int) []map[string]any {
	t.Helper()
	env := complete("order_pdf_creator")
	env["LOG_LEVEL"], env[functionVersion] = level, "7"
	s, err := Configure(getter(env))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	log := NewLogger(&out, atNoon, level).With().Str("role", s.Role()).Str("functionVersion", s.get(functionVersion)).Logger()
	o := observe(s, atNoon, log, h)
	for range invocations {
		ctx := lambdacontext.NewContext(t.Context(), &lambdacontext.LambdaContext{AwsRequestID: "request-1"})
		//nolint:revive,staticcheck // The key that aws-lambda-go sets.
		ctx = context.WithValue(ctx, "x-amzn-trace-id", "Root=1-67719f28-3f1d2c4b5a69788796a5b4c3;Sampled=1")
		_, _ = o.Invoke(ctx, nil)
	}
	var lines []map[string]any
	for text := range strings.Lines(out.String()) {
		var line map[string]any
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		lines = append(lines, line)
	}
	return lines
}

func TestObserve(t *testing.T) {
	t.Run("gives every line its context", func(t *testing.T) {
		is := is.New(t)
		lines := observedLines(t, "INFO", func(ctx context.Context, _ []byte) ([]byte, error) {
			annotate(ctx, acme, orderID)
			logger(ctx).Info().Msg("hello")
			return nil, nil
		}, 2)
		is.Equal(len(lines), 3)
		is.Equal(lines[0], map[string]any{
			"level": "info", "time": "2025-12-30T10:30:00.000000Z", "message": "hello", "role": "order_pdf_creator",
			"functionVersion": "7", "requestId": "request-1", "traceId": "1-67719f28-3f1d2c4b5a69788796a5b4c3",
			"coldStart": true, "tenantId": acme, "orderId": orderID,
		})
		is.Equal(lines[1]["ColdStarts"], 1.0)
		is.Equal(lines[2]["coldStart"], false) // the second invocation, which measured nothing
	})
	t.Run("gives a message's lines the trace that it came with, and once", func(t *testing.T) {
		is := is.New(t)
		var out bytes.Buffer
		s, err := Configure(getter(complete("order_pdf_creator")))
		is.NoErr(err)
		o := observe(s, atNoon, NewLogger(&out, atNoon, "INFO"), batch(&fakeVisibility{}, func(ctx context.Context, m message) error {
			logger(ctx).Info().Msg(m.id)
			return nil
		}))
		//nolint:revive,staticcheck // The key that aws-lambda-go sets.
		ctx := context.WithValue(t.Context(), "x-amzn-trace-id", "Root=1-1-1")
		_, err = o.Invoke(ctx, []byte(`{"Records":[{"messageId":"m0"},{"messageId":"m1","attributes":{"AWSTraceHeader":"Root=1-2-2"}}]}`))
		is.NoErr(err)
		for line := range strings.Lines(out.String()) {
			want := `"traceId":"1-1-1"`
			if strings.Contains(line, `"messageId":"m1"`) {
				want = `"traceId":"1-2-2"`
			}
			is.Equal(strings.Count(line, `"traceId"`), 1)
			is.True(strings.Contains(line, want))
		}
	})
	t.Run("writes metrics in the embedded format, whatever the level", func(t *testing.T) {
		is := is.New(t)
		lines := observedLines(t, "ERROR", func(ctx context.Context, _ []byte) ([]byte, error) {
			logger(ctx).Info().Msg("hidden")
			count(ctx, invoicesCreated)
			count(ctx, invoicesCreated)
			measure(ctx, invoiceMilliseconds, 2.5)
			measure(ctx, invoiceMilliseconds, 3.5)
			return nil, nil
		}, 1)
		is.Equal(len(lines), 1)
		is.Equal(lines[0]["_aws"], map[string]any{
			"Timestamp": float64(noon.UnixMilli()),
			"CloudWatchMetrics": []any{map[string]any{
				"Namespace":  "OrderService",
				"Dimensions": []any{[]any{"role", "environment"}},
				"Metrics": []any{
					map[string]any{"Name": "ColdStarts", "Unit": "Count"},
					map[string]any{"Name": "InvoicesCreated", "Unit": "Count"},
					map[string]any{"Name": "InvoiceMilliseconds", "Unit": "Milliseconds"},
				},
			}},
		})
		is.Equal(lines[0]["role"], "order_pdf_creator")
		is.Equal(lines[0]["environment"], "dev")
		is.Equal(lines[0]["level"], "info")
		is.Equal(lines[0]["InvoicesCreated"], 2.0)
		is.Equal(lines[0]["InvoiceMilliseconds"], []any{2.5, 3.5})
	})
	t.Run("fails an invocation that panics, with a line that says where", func(t *testing.T) {
		is := is.New(t)
		lines := observedLines(t, "INFO", func(context.Context, []byte) ([]byte, error) { panic("boom") }, 1)
		is.Equal(lines[0]["error"], "panic: boom")
		is.True(strings.Contains(lines[0]["stack"].(string), "roles_test.go"))
	})
	t.Run("measures nothing outside an invocation", func(*testing.T) {
		count(context.Background(), duplicates)
	})
}

func TestRedact(t *testing.T) {
	is := is.New(t)
	for in, want := range map[string]string{
		"":                                     "",
		"no address":                           "no address",
		"a@example.com":                        "***",
		"refused: <a@example.com>, b@x.org.":   "refused: <***>, ***",
		`{"to":"thandi@example.com","code":1}`: `{"to":"***","code":1}`,
	} {
		is.Equal(redact(in), want)
	}
}

func TestReason(t *testing.T) {
	is := is.New(t)
	is.Equal(reason(errFault), "")
	is.Equal(traceRoot(""), "")
	is.Equal(traceRoot("Parent=1; Root=1-2-3;Sampled=0"), "1-2-3")
	is.True(errors.Is((&laterError{errFault, 0}), errFault))
	is.Equal((&laterError{errFault, 0}).Error(), errFault.Error())
}
