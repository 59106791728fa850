package roles

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/matryer/is"
)

// withTrace is a context whose invocation has a trace.
func withTrace(ctx context.Context, header string) context.Context {
	return context.WithValue(ctx, "x-amzn-trace-id", header) //nolint:staticcheck // The key that aws-lambda-go sets.
}

// invoke calls a function several times and returns its log lines.
func invoke(t *testing.T, level string, h handler, invocations int) []map[string]any {
	t.Helper()
	var out bytes.Buffer
	log := NewLogger(&out, atNoon, level).With().Str("role", "order_pdf_creator").Str("functionVersion", "7").Logger()
	f := &function{handle: h, log: log, now: atNoon, environment: "dev"}
	for range invocations {
		ctx := lambdacontext.NewContext(t.Context(), &lambdacontext.LambdaContext{AwsRequestID: "request-1"})
		_, _ = f.Invoke(withTrace(ctx, "Root=1-67719f28-3f1d2c4b5a69788796a5b4c3;Sampled=1"), nil)
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

func TestPrepareIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		f := &function{prepare: func(ctx context.Context) { <-ctx.Done() }} // S3 does not answer
		start := time.Now()
		f.Prepare(t.Context())
		is.Equal(time.Since(start), prepareTimeout)
	})
}

func TestInvoke(t *testing.T) {
	t.Run("gives every line its context", func(t *testing.T) {
		is := is.New(t)
		lines := invoke(t, "INFO", func(ctx context.Context, _ []byte) ([]byte, error) {
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
	t.Run("says at its end how long it took, to who asks for it", func(t *testing.T) {
		is := is.New(t)
		lines := invoke(t, "DEBUG", func(context.Context, []byte) ([]byte, error) { return nil, nil }, 1)
		is.Equal(lines[1]["message"], "invocation ended")
		is.Equal(lines[1]["durationMs"], 0.0)
	})
	t.Run("writes metrics in the embedded format, whatever the level", func(t *testing.T) {
		is := is.New(t)
		lines := invoke(t, "ERROR", func(ctx context.Context, _ []byte) ([]byte, error) {
			logger(ctx).Info().Msg("hidden")
			count(ctx, documentsCreated)
			count(ctx, documentsCreated)
			measure(ctx, documentMilliseconds, 2.5)
			measure(ctx, documentMilliseconds, 3.5)
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
					map[string]any{"Name": "DocumentsCreated", "Unit": "Count"},
					map[string]any{"Name": "DocumentMilliseconds", "Unit": "Milliseconds"},
				},
			}},
		})
		is.Equal(lines[0]["role"], "order_pdf_creator")
		is.Equal(lines[0]["environment"], "dev")
		is.Equal(lines[0]["level"], "info")
		is.Equal(lines[0]["DocumentsCreated"], 2.0)
		is.Equal(lines[0]["DocumentMilliseconds"], []any{2.5, 3.5})
	})
	t.Run("fails where its handler panics, with a line that says where", func(t *testing.T) {
		is := is.New(t)
		lines := invoke(t, "INFO", func(ctx context.Context, _ []byte) ([]byte, error) {
			count(ctx, duplicates)
			panic("boom")
		}, 1)
		is.Equal(lines[0]["error"], "panic: boom")
		is.True(strings.Contains(lines[0]["stack"].(string), "invoke_test.go"))
		is.Equal(lines[1]["Duplicates"], 1.0) // what was measured is written all the same
	})
	t.Run("measures and logs nothing outside of it", func(t *testing.T) {
		count(t.Context(), duplicates)
		annotate(t.Context(), acme, orderID)
		logger(t.Context()).Error().Msg("nobody hears it")
	})
}

// TestInvokeMessages holds that a message's lines have the trace that it came
// with, once, and its metrics are the invocation's.
func TestInvokeMessages(t *testing.T) {
	is := is.New(t)
	var out bytes.Buffer
	f := &function{
		now: atNoon, log: NewLogger(&out, atNoon, "INFO"),
		handle: batch(&fakeQueue{}, atNoon, func(ctx context.Context, m message) error {
			logger(ctx).Info().Msg(m.id)
			count(ctx, mailsSent)
			return nil
		}),
	}
	_, err := f.Invoke(
		withTrace(t.Context(), "Root=1-1-1"),
		[]byte(`{"Records":[{"messageId":"m0"},{"messageId":"m1","attributes":{"AWSTraceHeader":"Root=1-2-2"}}]}`),
	)
	is.NoErr(err)
	for line := range strings.Lines(out.String()) {
		want := `"traceId":"1-1-1"`
		if strings.Contains(line, `"messageId":"m1"`) {
			want = `"traceId":"1-2-2"`
		}
		is.Equal(strings.Count(line, `"traceId"`), 1)
		is.True(strings.Contains(line, want))
	}
	is.True(strings.Contains(out.String(), `"MailsSent":2`))
}

func TestTraceRoot(t *testing.T) {
	is := is.New(t)
	for header, want := range map[string]string{
		"": "", "Root=1-2-3": "1-2-3", "Parent=1; Root=1-2-3;Sampled=0": "1-2-3", "Sampled=1": "", "root=1": "",
	} {
		is.Equal(traceRoot(header), want)
	}
}
