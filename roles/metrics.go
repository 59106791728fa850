package roles

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/bbws/order-lambda/order"
)

// A metric is the name of a CloudWatch metric in the namespace OrderService.
type metric string

// The metrics of section 12 of the contract.
const (
	ordersAccepted    metric = "OrdersAccepted"
	ordersRecorded    metric = "OrdersRecorded"
	ordersFailed      metric = "OrdersFailed"
	ordersChanged     metric = "OrdersChanged"
	eventsPublished   metric = "EventsPublished"
	cartTotalMismatch metric = "CartTotalMismatch"
	campaignsInvalid  metric = "CampaignsInvalid"
	documentsCreated  metric = "DocumentsCreated"
	mailsSent         metric = "MailsSent"
	mailFallbacks     metric = "MailFallbacks"
	messagesDelayed   metric = "MessagesDelayed"
	messagesFailed    metric = "MessagesFailed"
	duplicates        metric = "Duplicates"
	coldStarts        metric = "ColdStarts"

	documentMilliseconds           metric = "DocumentMilliseconds"
	acceptedToRecordedMilliseconds metric = "AcceptedToRecordedMilliseconds"
	changeToMailMilliseconds       metric = "ChangeToMailMilliseconds"
	changeToDocumentMilliseconds   metric = "ChangeToDocumentMilliseconds"
)

func (m metric) unit() string {
	if strings.HasSuffix(string(m), "Milliseconds") {
		return "Milliseconds"
	}
	return "Count"
}

// metrics collects the measurements of one invocation.
type metrics struct {
	mu     sync.Mutex
	names  []metric
	values map[metric][]float64
}

// count adds one to a metric of the invocation.
func count(ctx context.Context, name metric) { measure(ctx, name, 1) }

// measure adds a value to a metric of the invocation.
func measure(ctx context.Context, name metric, value float64) {
	scopeOf(ctx).metrics.add(name, value)
}

// measureSince adds the milliseconds between a moment and now to a metric.
// Clocks differ: it is never below zero.
func measureSince(ctx context.Context, name metric, since order.Timestamp, now time.Time) {
	measure(ctx, name, max(0, float64(now.Sub(since.Time()).Microseconds())/1000))
}

func (m *metrics) add(name metric, value float64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.values == nil {
		m.values = map[metric][]float64{}
	}
	if !slices.Contains(m.names, name) {
		m.names = append(m.names, name)
	}
	if name.unit() == "Count" && len(m.values[name]) > 0 {
		m.values[name][0] += value
		return
	}
	m.values[name] = append(m.values[name], value)
}

// write writes the measurements as one line in CloudWatch's embedded metric
// format, or nothing if there are none. The role, which is a dimension, is in
// the logger's context. Source: the "Embedded metric format specification" of
// the CloudWatch user guide.
func (m *metrics) write(log zerolog.Logger, environment string, at time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.names) == 0 {
		return
	}
	type definition struct {
		Name string
		Unit string
	}
	type directive struct {
		Namespace  string
		Dimensions [][]string
		Metrics    []definition
	}
	definitions := make([]definition, len(m.names))
	line := log.Log().Str("level", "info").Str("environment", environment) // Whatever LOG_LEVEL is.
	for i, name := range m.names {
		definitions[i] = definition{string(name), name.unit()}
		if v := m.values[name]; len(v) == 1 {
			line.Float64(string(name), v[0])
		} else {
			line.Floats64(string(name), v)
		}
	}
	meta, _ := json.Marshal(struct { // Strings and a number: cannot fail.
		Timestamp         int64
		CloudWatchMetrics []directive
	}{at.UnixMilli(), []directive{{"OrderService", [][]string{{"role", "environment"}}, definitions}}})
	line.RawJSON("_aws", meta).Msg("metrics")
}
