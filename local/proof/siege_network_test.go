package proof

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/bbws/order-lambda/local/stack"
)

// mostLate is how long after its caller gave up a call may take effect.
const mostLate = 3 * time.Second

// network stands between a role and its neighbours.
func (s *siege) network(role string, neighbours http.Handler) http.Handler {
	next := stack.Impatient(neighbours)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.flying.Add(1)
		defer s.flying.Add(-1)
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // The role went away.
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		call, err := s.calls.Read(r)
		switch stack.Service(r) { // The calls' reader knows another topic, and another path of carts.
		case "sns":
			call, err = &Call{Service: "sns", Operation: "PublishBatch"}, nil
		case "cart":
			call, err = &Call{Service: "cart", Operation: "GetCart", Target: r.URL.Path}, nil
		}
		if err != nil { // It only connects.
			r.Body = io.NopCloser(bytes.NewReader(body))
			neighbours.ServeHTTP(w, r)
			return
		}
		s.Count("calls")
		p := &passage{siege: s, role: role, call: call, request: r, body: body, to: next}
		p.arrived()
		p.serve(w)
	})
}

// A passage is a call on its way.
type passage struct {
	*siege
	role    string
	call    *Call
	request *http.Request
	body    []byte
	to      http.Handler
	mail    *letter // that it asks SES for, or nil
}

// A letter is a mail on its way.
type letter struct {
	SentMail
	asked time.Time
}

// serve decides what becomes of a call.
func (p *passage) serve(w http.ResponseWriter) {
	if p.happens(siegeDeadly) {
		if p.happens(0.5) {
			p.carryOut()
		}
		p.kill(p.role)
	}
	kind, effect, variant := fault(""), false, 0
	p.chance(func(r *rand.Rand) {
		kind, effect = p.choose(r)
		variant = r.IntN(6)
	})
	if kind != "" {
		p.Count(string(kind))
	}
	wait := time.Duration(variant) * 300 * time.Millisecond
	switch kind {
	default:
		p.answer(w, p.carryOut())
	case broken:
		if effect {
			p.carryOut()
		}
		panic(http.ErrAbortHandler)
	case timeout:
		<-p.request.Context().Done()
		if effect {
			time.Sleep(mostLate * time.Duration(variant) / 6)
			p.carryOut()
			p.Count("effects after the caller gave up")
		}
		panic(http.ErrAbortHandler)
	case throttled:
		p.refuse(w, Throttled, variant)
	case serverError:
		if effect {
			p.carryOut()
		}
		p.refuse(w, ServerError, variant)
	case slow:
		time.Sleep(wait)
		a := p.carryOut()
		time.Sleep(wait)
		p.answer(w, a)
	case double:
		p.carryOut()
		p.answer(w, p.carryOut())
	}
}

// choose returns what goes wrong with a call, and whether it has its effect
// nevertheless. The caller holds mu.
func (p *passage) choose(r *rand.Rand) (kind fault, effect bool) {
	if p.calm.Load() {
		return "", false
	}
	if time.Now().Before(p.down[p.call.Service]) {
		return []fault{serverError, throttled, broken}[r.IntN(3)], false
	}
	if r.Float64() >= siegeFaulty {
		return "", false
	}
	kinds := append(faultKinds(), double)
	return kinds[r.IntN(len(kinds))], r.IntN(2) == 0
}

// An answer is what a neighbour said.
type answer = httptest.ResponseRecorder

// carryOut passes the call on, whether or not its caller still waits.
func (p *passage) carryOut() *answer {
	a := httptest.NewRecorder()
	if p.mail != nil && p.refusesMail() {
		refusal := p.call.Do()
		for name, values := range refusal.Header {
			a.Header()[name] = values
		}
		a.WriteHeader(refusal.Status)
		_, _ = a.Write(refusal.Body)
		return a
	}
	r := p.request.Clone(context.WithoutCancel(p.request.Context()))
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(p.body)), int64(len(p.body))
	p.to.ServeHTTP(a, r)
	if a.Code == http.StatusOK {
		p.took(a)
	}
	return a
}

// answer gives the role a neighbour's answer, if it still waits.
func (p *passage) answer(w http.ResponseWriter, a *answer) {
	for name, values := range a.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(a.Code)
	_, err := w.Write(a.Body.Bytes())
	if p.mail != nil && err == nil && p.request.Context().Err() == nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.mail.Answered = true
	}
}

func (p *passage) refuse(w http.ResponseWriter, t Trouble, variant int) {
	a := p.call.Refuse(t, variant)
	for name, values := range a.Header {
		w.Header()[name] = values
	}
	w.WriteHeader(a.Status)
	_, _ = w.Write(a.Body)
}

// refusesMail reports whether SES does not take the mail's address.
func (p *passage) refusesMail() bool { return strings.HasPrefix(p.mail.To[0], "refused") }

// arrived looks at a call that a role makes: what is stored again must have the
// bytes of the first time.
func (p *passage) arrived() {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, ledger, isLedger := strings.Cut(p.call.Target, "|MAIL#")
	switch {
	case p.call.Service == "ses":
		p.mail = &letter{
			SentMail: SentMail{Mail: *p.call.Mail, By: &Run{Name: p.role, Role: p.role}}, asked: time.Now(),
		}
	case p.call.Operation == "UpdateItem" && isLedger:
		id, _, _ := strings.Cut(ledger, "#")
		for _, m := range p.letters {
			m.Noting = m.Noting || m.By.Role == p.role && m.Tags["orderId"] == id && m.Answered
		}
	case p.call.Operation == "PutObject":
		before, again := p.puts[p.call.Target]
		p.puts[p.call.Target] = Object{Header: p.request.Header, Body: p.call.Body}
		if again {
			p.Count("documents made again")
		}
		if again && !bytes.Equal(before.Body, p.call.Body) {
			p.Broken("%s was made again with other bytes", p.call.Target)
		}
	}
}

// took remembers what a neighbour has taken: a mail, or its note in the ledger.
func (p *passage) took(a *answer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, ledger, isLedger := strings.Cut(p.call.Target, "|MAIL#")
	switch {
	case p.mail != nil:
		var said struct{ MessageId string } //nolint:revive // As AWS writes it.
		if err := json.Unmarshal(a.Body.Bytes(), &said); err != nil {
			p.Broken("SES answered %s", a.Body)
		}
		if p.mail.ID != "" { // It was delivered twice.
			again := *p.mail
			p.mail = &again
		}
		p.mail.ID = said.MessageId
		p.letters[said.MessageId] = p.mail
	case p.call.Service == "sns":
		form, _ := url.ParseQuery(string(p.body))
		n := len(p.news) + 1
		for name := range form {
			if message := form.Get(name); strings.HasSuffix(name, ".Message") && p.news[message] == 0 {
				p.news[message] = n
			}
		}
	case p.call.Operation == "UpdateItem" && isLedger:
		for id := range p.letters {
			if p.noted[ledger].IsZero() && bytes.Contains(p.body, []byte(id)) {
				p.noted[ledger] = time.Now()
			}
		}
	}
}

// endClaims lets the time pass for which dead processes hold mails: no process
// works on one any more.
func (s *siege) endClaims() {
	past := map[string]types.AttributeValue{":past": &types.AttributeValueMemberN{Value: "1"}} // seconds since 1970
	pages := dynamodb.NewScanPaginator(s.stack.DynamoDB, &dynamodb.ScanInput{
		TableName: aws.String(stack.Table), FilterExpression: aws.String("claimedUntil > :past"),
		ProjectionExpression: aws.String("PK, SK"), ExpressionAttributeValues: past,
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(s.t.Context())
		if err != nil {
			s.t.Fatal(err)
		}
		for _, key := range page.Items {
			_, err := s.stack.DynamoDB.UpdateItem(s.t.Context(), &dynamodb.UpdateItemInput{
				TableName: aws.String(stack.Table), Key: key, UpdateExpression: aws.String("SET claimedUntil = :past"),
				ExpressionAttributeValues: past,
			})
			if err != nil {
				s.t.Fatal(err)
			}
			s.Count("claims of mails that were left")
		}
	}
}
