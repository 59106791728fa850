package proof

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/bbws/order-lambda/local/gateway"
	"github.com/bbws/order-lambda/local/lambdaapi"
	"github.com/bbws/order-lambda/local/stack"
)

// How long a client waits for an answer, under faults and after.
const (
	clientPatience = 8 * time.Second
	calmPatience   = time.Minute
)

// request calls the API as an actor does.
func (s *siege) request(a Actor, role, method, path, body string, headers ...string) Exchange {
	run := &Run{
		Name: fmt.Sprintf("%s of %s", role, a.Client), Role: role, Began: time.Now().UTC(),
		Since: int(s.versions.Load()), Until: math.MaxInt,
	}
	c := Exchange{Run: run, Header: map[string]string{}}
	client, err := s.stack.Client(gateway.Identity{Tenant: a.Tenant, Email: a.Email, Groups: a.Groups})
	if err != nil {
		s.t.Error(err)
		return c
	}
	patience := clientPatience
	if s.calm.Load() {
		patience = calmPatience
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	answer, err := client.Call(ctx, method, path, body, headers...)
	if err == nil {
		c.Status, c.Code, run.Status, run.Ended = answer.Status, answer.Code, answer.Status, time.Now().UTC()
		_ = json.Unmarshal(answer.Data, &c.Data) // An error has none.
		for name := range answer.Header {
			c.Header[name] = answer.Header.Get(name)
		}
		c.Header["ETag"] = answer.Header.Get("ETag")
	}
	s.Count(strings.TrimSpace(fmt.Sprintf("%s %d %s", run.Role, c.Status, c.Code)))
	return c
}

// read reads from the API. After the faults it asks once more where a process
// was dead already, as many processes as there may be.
func (s *siege) read(a Actor, role, path string) (c Exchange) {
	for range 10 {
		c = s.request(a, role, http.MethodGet, path, "")
		if c.Status != 0 && c.Status < http.StatusInternalServerError || !s.calm.Load() {
			break
		}
	}
	return c
}

// Get implements API.
func (s *siege) Get(a Actor, orderID string) Exchange {
	return s.read(a, "get_order", "/v1.0/orders/"+orderID)
}

// List implements API.
func (s *siege) List(a Actor, tenant string, query map[string]string) Exchange {
	values := url.Values{}
	for name, value := range query {
		values.Set(name, value)
	}
	return s.read(a, "list_orders", "/v1.0/tenants/"+tenant+"/orders?"+values.Encode())
}

// look reads an order. What it is shown is judged in the end, when it is known
// what there was to be seen.
func (s *siege) look(a Actor, wi *Wish) Exchange {
	c := s.Get(a, wi.OrderID)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shown = append(s.shown, func() { s.Shown(a, wi, c) })
	return c
}

// order does what a client does who wants an order. It tells when the order is
// placed.
func (s *siege) order(n int, r *rand.Rand, placed func()) {
	all := tenants()
	a := Actor{Client: fmt.Sprintf("c%d", n), Groups: []string{payers}, Tenant: all[max(0, r.IntN(7)-3)]}
	a.Email = a.Client + "@" + marker(a.Tenant) + ".example"
	kind := []string{"good", "good", "shipping"}[r.IntN(3)]
	if r.IntN(12) == 0 {
		kind = []string{"missing", "gone", "refused", "foreign", "empty", "campaign"}[r.IntN(6)]
	}
	wi := s.wish(n, a, kind, r.IntN(20) == 0)
	switch p := r.IntN(100); {
	case p < 10:
		s.produce(n, wi, r)
	case p < 60:
		wi.Key = "key-" + a.Client
		s.post(wi, r)
	default:
		s.post(wi, r)
	}
	placed()
	if wi.OrderID == "" || wi.Bad() {
		return
	}
	if r.IntN(2) == 0 {
		s.change(wi, r)
	}
	if r.IntN(12) == 0 {
		s.erase(wi)
	}
}

// produce sends a creation message past the API, as other producers do, and
// sometimes noise beside it.
func (s *siege) produce(n int, wi *Wish, r *rand.Rand) {
	message := map[string]any{"tenantId": wi.Actor.Tenant, "orderId": lambdaapi.NewID()}
	maps.Copy(message, wi.Body)
	body, err := json.Marshal(message)
	if err != nil {
		s.t.Error(err)
		return
	}
	s.send(recorder, string(body))
	if wi.OrderID, _ = message["orderId"].(string); r.IntN(3) == 0 {
		s.send(recorder, string(body))
	}
	if r.IntN(3) == 0 {
		s.send(recorder, fmt.Sprintf(`{"noise": %d`, n))
		s.mu.Lock()
		s.noise++
		s.mu.Unlock()
	}
}

// post places an order and tries again where that fails; now and then with two
// clicks at once, or once more with the same key.
func (s *siege) post(wi *Wish, r *rand.Rand) {
	body, err := json.Marshal(wi.Body)
	if err != nil {
		s.t.Error(err)
		return
	}
	var headers []string
	if wi.Key != "" {
		headers = []string{"Idempotency-Key", wi.Key}
	}
	once := func() {
		s.posted(wi, s.request(wi.Actor, "create_order", http.MethodPost, "/v1.0/orders", string(body), headers...))
	}
	if wi.Key != "" && r.IntN(4) == 0 { // A double click.
		var both sync.WaitGroup
		both.Go(once)
		both.Go(once)
		both.Wait()
	}
	for try := 0; wi.OrderID == "" && try < 6; try++ {
		time.Sleep(time.Duration(try) * 300 * time.Millisecond)
		once()
	}
	if wi.Key != "" && r.IntN(3) == 0 {
		once()
	}
}

func (s *siege) posted(wi *Wish, c Exchange) {
	s.mu.Lock()
	defer s.mu.Unlock()
	wi.Posts = append(wi.Posts, c)
	switch {
	case c.Status == http.StatusAccepted && wi.OrderID == "":
		wi.OrderID, _ = c.Data["orderId"].(string)
	case c.Status != http.StatusAccepted && c.Status != 0 && c.Status < http.StatusInternalServerError:
		s.Broken("client %s: POST was answered %d %s", wi.Actor.Client, c.Status, c.Code)
	}
}

// erase deletes an order, as an operator does.
func (s *siege) erase(wi *Wish) {
	_, err := s.stack.DynamoDB.UpdateItem(context.Background(), &dynamodb.UpdateItemInput{
		TableName: aws.String(stack.Table),
		Key: map[string]types.AttributeValue{
			"PK": &types.AttributeValueMemberS{Value: "TENANT#" + wi.Actor.Tenant},
			"SK": &types.AttributeValueMemberS{Value: "ORDER#" + wi.OrderID},
		},
		UpdateExpression: aws.String("SET active = :no"), ConditionExpression: aws.String("attribute_exists(PK)"),
		ExpressionAttributeValues: map[string]types.AttributeValue{":no": &types.AttributeValueMemberBOOL{Value: false}},
	})
	if err != nil {
		s.Count("deletions before there was an order") // Another producer's.
	}
}

// change lets two clients move an order on at once, once it is recorded.
func (s *siege) change(wi *Wish, r *rand.Rand) {
	for range 30 {
		if c := s.look(wi.Actor, wi); c.Data["items"] != nil || s.calm.Load() {
			break
		}
		time.Sleep(200 * time.Millisecond)
	}
	var both sync.WaitGroup
	for i := range 2 {
		own := rand.New(rand.NewPCG(r.Uint64(), 0))
		a := wi.Actor
		a.Client = fmt.Sprintf("%s-u%d", a.Client, i)
		switch own.IntN(5) {
		case 0:
			a.Groups = nil
		case 1: // An administrator, who may be of another tenant.
			a.Groups, a.Tenant = []string{"admin"}, tenants()[own.IntN(4)]
		}
		both.Go(func() { s.changeAs(a, wi, own) })
	}
	both.Wait()
}

func (s *siege) changeAs(a Actor, wi *Wish, r *rand.Rand) {
	statuses := []string{"payment_pending", "paid", "paid", "processing", "completed", "cancelled", "refunded", "refunded"}
	client := a.Client
	for n := range 2 + r.IntN(5) {
		if s.calm.Load() && n > 0 {
			return
		}
		a.Client = fmt.Sprintf("%s-%d", client, n)
		a.Email = a.Client + "@kimmyai.example" // One for each change: the history then says which it was.
		u := &Change{OrderID: wi.OrderID, Actor: a, Update: map[string]any{}}
		if r.IntN(4) > 0 {
			u.Update["status"] = statuses[r.IntN(min(len(statuses), 3+n))]
			if r.IntN(3) == 0 {
				u.Update["reason"] = fmt.Sprintf("reason %d of %s", n, a.Client)
			}
		}
		if r.IntN(2) == 0 || len(u.Update) == 0 {
			u.Update["paymentDetails"] = map[string]any{"transactionId": fmt.Sprintf("tx-%d", r.IntN(3)), "method": "card"}
		}
		var headers []string
		if r.IntN(3) == 0 {
			if c := s.look(a, wi); c.Status == http.StatusOK {
				u.IfMatch = c.Header["ETag"]
				headers = []string{"If-Match", u.IfMatch}
			}
		}
		body, err := json.Marshal(u.Update)
		if err != nil {
			s.t.Error(err)
			return
		}
		u.Call = s.request(a, "update_order", http.MethodPut, "/v1.0/orders/"+wi.OrderID, string(body), headers...)
		s.mu.Lock()
		s.Changes[u.Call.Run], s.changes[a.Email] = u, u
		s.mu.Unlock()
		time.Sleep(time.Duration(r.IntN(300)) * time.Millisecond)
	}
}
