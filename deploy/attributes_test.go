package deploy_test

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/matryer/is"

	"github.com/bbws/order-lambda/order"
	"github.com/bbws/order-lambda/store"
)

// TestAttributesAreThoseThatTheCodeUses holds the rights of each role in the table (attributes.json) to the requests that the store
// makes for it: an attribute too few would be refused on AWS, where no test would see it, and one too many is a right too many.
func TestAttributesAreThoseThatTheCodeUses(t *testing.T) {
	is := is.New(t)
	text, err := os.ReadFile("attributes.json")
	is.NoErr(err)
	var allowed map[string][]string
	is.NoErr(json.Unmarshal(text, &allowed))

	ctx, now := t.Context(), time.Date(2025, 12, 30, 10, 30, 0, 0, time.UTC)
	creation := order.Creation{OrderID: "7c1d6f0e-54ab-4b0e-9d0c-2f4a8c0f3b11", TenantID: "t", CustomerEmail: "c@example.com", CreatedBy: "u", DateCreated: order.NewTimestamp(now)}
	numbered := creation
	numbered.OrderNumber = "ORD-2025-00001"
	sendMail := func(s *store.Store) {
		m := store.Mail{TenantID: "t", OrderID: creation.OrderID, Role: "r", Claim: "c"}
		_ = s.ClaimMail(ctx, m, now)
		_ = s.ReleaseMail(ctx, m)
		_ = s.MailSent(ctx, m, "id")
	}
	// What the handlers call. Errors do not matter: requests do.
	uses := map[string]func(s *store.Store){
		"create_order": func(s *store.Store) {
			_, _, _ = s.Accept(ctx, creation, &store.IdempotencyKey{Key: "k", BodyHash: "h"})
			_ = s.Reopen(ctx, "t", creation.OrderID, 1)
		},
		"list_orders": func(s *store.Store) {
			for _, sort := range []store.Sort{store.ByID, store.NewestFirst} {
				_, _ = s.List(ctx, store.ListQuery{TenantID: "t", Size: 1, Sort: sort, Status: order.Paid})
			}
		},
		"update_order": func(s *store.Store) {
			_, _ = s.Update(ctx, order.Order{ID: creation.OrderID, TenantID: "t", Status: order.Paid, PaymentDetails: &order.PaymentDetails{Method: "m"}}, creation.DateCreated)
		},
		"order_creator_record": func(s *store.Store) {
			_, _ = s.Complete(ctx, creation)
			_ = s.Fail(ctx, numbered, "reason")
		},
		"order_pdf_creator":           func(s *store.Store) { _ = s.SetPDF(ctx, "t", creation.OrderID, "s3://b/k") },
		"order_internal_notifier":     sendMail,
		"customer_order_confirmation": sendMail,
	}
	is.Equal(slices.Sorted(maps.Keys(allowed)), slices.Sorted(maps.Keys(uses))) // the roles with limited attributes

	for role, use := range uses {
		t.Run(role, func(t *testing.T) {
			is := is.New(t)
			seen := &seenAttributes{names: map[string]bool{}}
			use(store.New(dynamodb.New(dynamodb.Options{
				Region:      "eu-west-1",
				Credentials: aws.AnonymousCredentials{},
				HTTPClient:  seen,
				Retryer:     aws.NopRetryer{},
			}), "orders", func() time.Time { return now }))
			is.Equal(slices.Sorted(maps.Keys(seen.names)), slices.Sorted(slices.Values(allowed[role])))
		})
	}
}

// seenAttributes stands for DynamoDB. It answers every request with success and nothing, and collects the attributes that writes and
// queries name.
type seenAttributes struct{ names map[string]bool }

func (s *seenAttributes) Do(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	if operation := r.Header.Get("X-Amz-Target"); !strings.HasSuffix(operation, ".GetItem") {
		var request map[string]any
		if err := json.Unmarshal(body, &request); err != nil {
			return nil, err
		}
		s.collect(request)
	}
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("{}"))}, nil
}

// inExpression finds the attributes that an expression names without a placeholder.
var inExpression = regexp.MustCompile(`(^|[^:#\w])([a-z]\w*|[A-Z]+\d?_?[PS]K|[PS]K)\b`)

// words of the language of expressions that look like attributes.
var words = []string{"if_not_exists", "attribute_exists", "attribute_not_exists", "begins_with"}

func (s *seenAttributes) collect(request map[string]any) {
	for field, value := range request {
		switch value := value.(type) {
		case string:
			if !strings.HasSuffix(field, "Expression") {
				continue
			}
			for _, match := range inExpression.FindAllStringSubmatch(value, -1) {
				if !slices.Contains(words, match[2]) {
					s.names[match[2]] = true
				}
			}
		case map[string]any:
			switch field {
			case "Item", "Key":
				for name := range value {
					s.names[name] = true
				}
			case "ExpressionAttributeNames":
				for _, name := range value {
					s.names[name.(string)] = true
				}
			case "Put", "Update":
				s.collect(value)
			}
		case []any: // the operations of a transaction
			for _, operation := range value {
				s.collect(operation.(map[string]any))
			}
		}
	}
}
