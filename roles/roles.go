// Package roles holds the eight handlers of the order service, and what they
// share: settings, the HTTP edge, the queue edge, the stream edge, logs and
// metrics. Each handler is a lambda.Handler, so that a test drives it with the
// JSON that AWS sends.
package roles

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/smithy-go/logging"
	"github.com/rs/zerolog"

	"github.com/bbws/order-lambda/store"
)

// A Role is one of the eight functions that the binary can be.
type Role struct {
	Name     string
	Settings []Setting
	build    func(Settings, Deps) (handler, preparation)
	calls    func(Settings) []string // services that it calls besides the table
}

// All returns the eight roles.
func All() []Role {
	return []Role{
		createOrderRole(),
		getOrderRole(),
		listOrdersRole(),
		updateOrderRole(),
		orderCreatorRecordRole(),
		orderPDFCreatorRole(),
		orderInternalNotifierRole(),
		customerOrderConfirmationRole(),
	}
}

// Deps are what a role takes from the world.
type Deps struct {
	AWS       aws.Config
	Transport http.RoundTripper // for the Cart API
	Stdout    io.Writer         // takes the log and the metrics, a JSON object a line
	Now       func() time.Time  // the clock
}

// A Handler is a role that answers events.
type Handler interface {
	lambda.Handler
	// Prepare does what would otherwise lengthen the first invocation, while a
	// function starts and has a whole processor. It may be left out.
	Prepare(ctx context.Context)
}

// Build returns the handler of the role that the settings are for. It builds
// that role's clients and no others.
func Build(s Settings, d Deps) Handler {
	log := NewLogger(d.Stdout, d.Now, s.get(logLevel())).With().
		Str("role", s.Role()).Str("functionVersion", s.get(functionVersion())).Logger()
	d.AWS.Logger = sdkLogger(log)
	if s.get(enableXRay()) == "true" {
		d = trace(s, d)
	}
	handle, prepare := s.role.build(s, d)
	return &function{handle: handle, prepare: prepare, log: log, now: d.Now, environment: s.get(environment())}
}

// sdkLogger lets the AWS SDK's own warnings join the log, one JSON object each.
func sdkLogger(log zerolog.Logger) logging.Logger {
	return logging.LoggerFunc(func(_ logging.Classification, format string, v ...any) {
		log.Debug().Msg(redact(fmt.Sprintf(format, v...)))
	})
}

// newStore returns the store of the role's table.
func newStore(s Settings, d Deps) *store.Store {
	return store.New(dynamodb.NewFromConfig(d.AWS), s.get(tableName()), d.Now)
}
