package roles

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/matryer/is"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/bbws/order-lambda/order"
)

// emf holds a line of the log to CloudWatch's embedded metric format: the
// published schema, and what the specification says of the members that it
// names.
func emf(t *testing.T) func(line []byte) error {
	t.Helper()
	schema, err := jsonschema.NewCompiler().Compile("testdata/emf.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return func(line []byte) error {
		const most = 256 << 10 // bytes; CloudWatch Logs takes four times as much since 2025
		if len(line) > most {
			return fmt.Errorf("a line of %d bytes", len(line))
		}
		var document map[string]any
		if err := json.Unmarshal(line, &document); err != nil {
			return err
		}
		if err := schema.Validate(document); err != nil {
			return err
		}
		for _, directive := range document["_aws"].(map[string]any)["CloudWatchMetrics"].([]any) {
			if err := targets(document, directive.(map[string]any)); err != nil {
				return err
			}
		}
		return nil
	}
}

// targets checks the members of a document that its dimensions and metrics
// name.
func targets(document, directive map[string]any) error {
	for _, set := range directive["Dimensions"].([]any) {
		for _, dimension := range set.([]any) {
			value, ok := document[dimension.(string)].(string)
			if !ok || len(value) > 1024 {
				return fmt.Errorf("dimension %v is no text of at most 1024 characters", dimension)
			}
		}
	}
	for _, definition := range directive["Metrics"].([]any) {
		name := definition.(map[string]any)["Name"].(string)
		values, ok := document[name].([]any)
		if !ok {
			values = []any{document[name]}
		}
		if len(values) > 100 {
			return fmt.Errorf("metric %s has more than a hundred values", name)
		}
		for _, v := range values {
			if _, ok := v.(float64); !ok {
				return fmt.Errorf("metric %s is no number", name)
			}
		}
	}
	return nil
}

// TestMetricsSchema holds the metrics of every role to what CloudWatch reads.
func TestMetricsSchema(t *testing.T) {
	valid := emf(t)
	for _, role := range All() {
		t.Run(role.Name, func(t *testing.T) {
			is := is.New(t)
			var out bytes.Buffer
			h := newAccount(t, role.Name).build(t, complete(role.Name), &out)
			_, err := h.Invoke(t.Context(), roleEvent(t, role.Name))
			is.NoErr(err)
			found := 0
			for line := range bytes.Lines(out.Bytes()) {
				is.True(!bytes.Contains(line, []byte("@"))) // no e-mail address in any line
				if bytes.Contains(line, []byte(`"_aws"`)) {
					found++
					is.NoErr(valid(line))
				}
			}
			is.Equal(found, 1)
		})
	}
	t.Run("every metric, as often as the largest batch has messages", func(t *testing.T) {
		is := is.New(t)
		m := &metrics{}
		for range 10 {
			for _, name := range everyMetric() {
				m.add(name, 1.5)
			}
		}
		var out bytes.Buffer
		m.write(NewLogger(&out, atNoon, "INFO").With().Str("role", "get_order").Logger(), "dev", noon)
		is.NoErr(valid(out.Bytes()))
	})
}

// everyMetric returns the metrics that there are.
func everyMetric() []metric {
	return []metric{
		ordersAccepted, ordersRecorded, ordersFailed, ordersChanged, eventsPublished, cartTotalMismatch, campaignsInvalid,
		documentsCreated,
		mailsSent, mailFallbacks, messagesDelayed, messagesFailed, duplicates, coldStarts, documentMilliseconds,
		acceptedToRecordedMilliseconds, changeToMailMilliseconds, changeToDocumentMilliseconds,
	}
}

// TestMetricsOfRoles holds what each role measures when all goes well.
func TestMetricsOfRoles(t *testing.T) {
	for role, want := range map[string][]metric{
		"create_order":                {ordersAccepted},
		"get_order":                   nil,
		"list_orders":                 nil,
		"update_order":                {ordersChanged},
		"order_creator_record":        {ordersRecorded, acceptedToRecordedMilliseconds},
		"order_creator_record.stream": {eventsPublished},
		"order_pdf_creator":           {documentsCreated, documentMilliseconds, changeToDocumentMilliseconds},
		"order_internal_notifier":     {mailsSent, changeToMailMilliseconds},
		"customer_order_confirmation": {mailsSent, changeToMailMilliseconds},
	} {
		t.Run(role, func(t *testing.T) {
			is := is.New(t)
			name, _, _ := strings.Cut(role, ".")
			var out bytes.Buffer
			_, err := newAccount(t, name).build(t, complete(name), &out).Invoke(t.Context(), roleEvent(t, role))
			is.NoErr(err)
			for _, m := range everyMetric() {
				measured := strings.Contains(out.String(), `{"Name":"`+string(m)+`","Unit":"`+m.unit()+`"}`)
				is.Equal(measured, slices.Contains(append(want, coldStarts), m)) // and no other
			}
		})
	}
}

func TestMeasureSince(t *testing.T) {
	is := is.New(t)
	ctx, _ := invocation(t)
	at := order.NewTimestamp(noon)
	measureSince(ctx, changeToMailMilliseconds, at, noon.Add(1234567*time.Microsecond))
	measureSince(ctx, changeToMailMilliseconds, at, noon.Add(-time.Second)) // clocks differ
	is.Equal(measured(ctx, changeToMailMilliseconds), []float64{1234.567, 0})
}

// TestMetricsSchemaRefuses shows that the check above can fail: each change
// breaks a rule of the specification.
func TestMetricsSchemaRefuses(t *testing.T) {
	const document = `{"_aws": {"Timestamp": 1767090600000, "CloudWatchMetrics": [
		{"Namespace": "OrderService", "Dimensions": [["role"]], "Metrics": [{"Name": "MailsSent", "Unit": "Count"}]}]}, "role": "get_order", "MailsSent": 1}`
	valid := emf(t)
	is.New(t).NoErr(valid([]byte(document)))
	long := strings.Repeat("x", 1025)
	for name, change := range map[string][2]string{
		"no metadata":                         {`"_aws"`, `"_AWS"`},
		"no timestamp":                        {`"Timestamp": 1767090600000, `, ``},
		"a time as text":                      {`1767090600000`, `"2025-12-30T10:30:00Z"`},
		"a time in fractions":                 {`1767090600000`, `1767090600000.5`},
		"no metrics":                          {`"Metrics": [{"Name": "MailsSent", "Unit": "Count"}]`, `"More": []`},
		"no namespace":                        {`"Namespace": "OrderService", `, ``},
		"an empty namespace":                  {`"OrderService"`, `""`},
		"a namespace that is too long":        {`"OrderService"`, `"` + long + `"`},
		"a namespace of two lines":            {`"OrderService"`, `"Order\nService"`},
		"no set of dimensions":                {`[["role"]]`, `[]`},
		"dimensions that are no set":          {`[["role"]]`, `["role"]`},
		"more than thirty dimensions":         {`[["role"]]`, `[["role"` + strings.Repeat(`, "role"`, 30) + `]]`},
		"a dimension's name that is too long": {`"role"`, `"` + long[:251] + `"`},
		"a dimension that is not there":       {`[["role"]]`, `[["environment"]]`},
		"a dimension that is a number":        {`"role": "get_order"`, `"role": 1`},
		"a dimension that is too long":        {`"get_order"`, `"` + long + `"`},
		"a metric without a name":             {`"Name": "MailsSent", `, ``},
		"a metric's name that is too long":    {`"Name": "MailsSent"`, `"Name": "` + long + `"`},
		"a metric that is not there":          {`"Name": "MailsSent"`, `"Name": "MailsLost"`},
		"a metric that is a text":             {`"MailsSent": 1`, `"MailsSent": "1"`},
		"a metric with a text among numbers":  {`"MailsSent": 1`, `"MailsSent": [1, "1"]`},
		"more than a hundred values":          {`"MailsSent": 1`, `"MailsSent": [1` + strings.Repeat(", 1", 100) + `]`},
		"more than a hundred metrics":         {`[{"Name"`, `[` + strings.Repeat(`{"Name": "MailsSent"}, `, 100) + `{"Name"`},
		"an unknown unit":                     {`"Count"`, `"Counts"`},
		"an unknown resolution":               {`"Unit": "Count"`, `"StorageResolution": 30`},
		"a member that is not specified":      {`"Unit": "Count"`, `"unit": "Count"`},
		"a line that is too long": {
			`"MailsSent": 1`, `"MailsSent": 1, "more": "` + strings.Repeat("x", 256<<10) + `"`,
		},
		"no JSON": {`{"_aws"`, `_aws`},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			changed := strings.ReplaceAll(document, change[0], change[1])
			is.True(changed != document)
			is.True(valid([]byte(changed)) != nil)
		})
	}
}
