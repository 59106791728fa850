package roles

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/matryer/is"
	"github.com/rs/zerolog"

	"github.com/bbws/order-lambda/deploy"
	"github.com/bbws/order-lambda/order"
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
			is.True(
				Build(settings, Deps{AWS: aws.Config{Region: "eu-west-1"}, Transport: http.DefaultTransport, Stdout: io.Discard, Now: atNoon}) != nil,
			)

			names := []string{}
			for _, s := range role.Settings {
				names = append(names, s.Name)
			}
			want := deployed[role.Name].Settings
			// what deploy/ gives it is what it reads
			is.Equal(slices.Sorted(slices.Values(names)), slices.Sorted(slices.Values(want)))
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
		{
			"no role", "", nil,
			"ROLE is missing, must be one of create_order, get_order, list_orders, update_order, order_creator_record, order_pdf_creator, order_internal_notifier, customer_order_confirmation",
		},
		{
			"an unknown role", "nonsense", nil,
			`ROLE "nonsense" is unknown, must be one of create_order, get_order, list_orders, update_order, order_creator_record, order_pdf_creator, order_internal_notifier, customer_order_confirmation`,
		},
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
		{
			"two addresses to send from", "order_internal_notifier",
			map[string]string{"SES_FROM_ADDRESS": "a@example.com, b@example.com"},
			`role order_internal_notifier: SES_FROM_ADDRESS "a@example.com, b@example.com" must be an e-mail address, ` +
				`with or without a display name`,
		},
		{
			"a queue for a topic", "order_creator_record",
			map[string]string{"ORDER_EVENTS_TOPIC_ARN": "arn:aws:sqs:af-south-1:1:x"},
			`role order_creator_record: ORDER_EVENTS_TOPIC_ARN "arn:aws:sqs:af-south-1:1:x" must be the ARN of an SNS topic`,
		},
		{
			"what other roles need", "get_order",
			map[string]string{"SQS_QUEUE_URL": "", "SES_FROM_ADDRESS": "", "TAX_RATE": "x"},
			"",
		},
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
		is.Equal(s.get(taxRate()), "0.15")
		is.Equal(s.get(logLevel()), "INFO")
		s, err = Configure(getter(complete("customer_order_confirmation")))
		is.NoErr(err)
		is.Equal(s.get(replyTo()), "support@kimmyai.io")
		is.Equal(s.get(customerPortal()), "https://portal.kimmyai.io")
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
	is.Equal(
		reason(fmt.Errorf("get cart: %w", &order.PermanentError{Reason: "cart not found", Err: errFault})), "cart not found",
	)
}

func TestSettings(t *testing.T) {
	is := is.New(t)
	s, err := Configure(getter(complete("order_internal_notifier")))
	is.NoErr(err)
	is.Equal(s.addresses(teamAddresses()), []string{"team@kimmyai.io", "sales@kimmyai.io"})
	is.Equal(s.addresses(fromAddress()), []string{`"Orders" <test@kimmyai.io>`})
	is.Equal(s.get(adminPortal()), "https://admin.kimmyai.io")
	is.Equal(s.get(configuration()), "") // none
}

func TestNewLogger(t *testing.T) {
	for level, want := range map[string]string{
		"DEBUG": "debug info warn error", "INFO": "info warn error", "WARN": "warn error", "ERROR": "error",
		"": "info warn error", "info": "info warn error",
	} {
		is := is.New(t)
		var out strings.Builder
		log := NewLogger(&out, atNoon, level)
		for _, l := range []zerolog.Level{zerolog.DebugLevel, zerolog.InfoLevel, zerolog.WarnLevel, zerolog.ErrorLevel} {
			log.WithLevel(l).Msg("hello")
		}
		var levels []string
		for line := range strings.Lines(out.String()) {
			var l struct{ Level, Time, Message string }
			is.NoErr(json.Unmarshal([]byte(line), &l))
			is.Equal(l.Time, "2025-12-30T10:30:00.000000Z")
			levels = append(levels, l.Level)
		}
		is.Equal(strings.Join(levels, " "), want)
	}
}
