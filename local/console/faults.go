package console

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/bbws/order-lambda/local/stack"
)

// A Fault is something that a person switches on: without a role, a neighbour
// is down; with one, the role's processes end at a call, once, before it or when
// the neighbour has answered and the role does not know yet.
type Fault struct {
	Role    string `json:"role"`
	Service string `json:"service"`
	Action  string `json:"action"`
	After   bool   `json:"after"`
}

// A Moment is a fault that is worth a name.
type Moment struct {
	Fault
	What string `json:"what"`
}

// moments returns what a person may choose from.
func moments() []Moment {
	return []Moment{
		{Fault{"create_order", "sqs", "SendMessage", false}, "create_order between write and queue"},
		{Fault{"order_creator_record", "dynamodb", "PutItem", false}, "order_creator_record between read and write"},
		{Fault{"order_creator_record", "dynamodb", "PutItem", true}, "order_creator_record between number and order"},
		{Fault{"order_creator_record", "sns", "PublishBatch", false}, "order_creator_record before it publishes"},
		{Fault{"order_creator_record", "sns", "PublishBatch", true}, "order_creator_record after it has published"},
		{Fault{"order_pdf_creator", "s3", "PutObject", false}, "order_pdf_creator between number and upload"},
		{Fault{"order_pdf_creator", "s3", "PutObject", true}, "order_pdf_creator between upload and note"},
		{Fault{"order_internal_notifier", "ses", "SendEmail", false}, "order_internal_notifier before it sends"},
		{Fault{"customer_order_confirmation", "ses", "SendEmail", false}, "customer_order_confirmation before it sends"},
	}
}

// set switches a fault on or off.
func (m *model) set(f Fault, on bool) {
	m.Lock()
	defer m.Unlock()
	m.faults = slices.DeleteFunc(slices.Clone(m.faults), func(other Fault) bool { return other == f })
	if on {
		m.faults = append(m.faults, f)
	}
	m.tell(&m.faultsVersion)
}

// has reports whether a fault is on. One that is a role's goes off by that.
func (m *model) has(f Fault) bool {
	m.Lock()
	on := slices.Contains(m.faults, f)
	m.Unlock()
	if on && f.Role != "" {
		m.set(f, false)
	}
	return on
}

// around stands between a role and its neighbours: it keeps what they say to
// each other, and makes the faults that are on.
func (c *Console) around(role string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the role went away
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		this := call{Role: role, Start: time.Now().UnixMicro()}
		this.Service, this.Action = asked(r, body)
		said := &answer{ResponseWriter: w}
		defer func() {
			this.End = time.Now().UnixMicro()
			c.model.called(this, slices.Concat([]byte(r.URL.Path+r.Header.Get("X-Correlation-Id")), body))
		}()
		switch {
		case c.model.has(Fault{Service: this.Service}):
			this.Error = "switched off"
			panic(http.ErrAbortHandler) // cuts the connection
		case c.model.has(Fault{role, this.Service, this.Action, false}):
			this.Error = "crashed before it"
			c.stack().Kill(role)
			return
		case c.model.has(Fault{role, this.Service, this.Action, true}):
			this.Error = "crashed after it"
			next.ServeHTTP(httptest.NewRecorder(), r)
			c.stack().Kill(role)
			return
		}
		next.ServeHTTP(said, r)
		if this.Status = said.status; this.Status >= http.StatusBadRequest {
			this.Error = string(failure.Find(said.begin))
		} else if this.Service == "ses" {
			c.model.mailed(role, body, said.begin)
		}
	})
}

var (
	failure     = regexp.MustCompile(`[A-Z]\w+Exception|NoSuch\w+|NotFound`) // the name of an error in a service's answer
	queryAction = regexp.MustCompile(`Action=(\w+)`)
)

// asked returns the neighbour that a request is for, and what it asks for in
// the neighbour's own word.
func asked(r *http.Request, body []byte) (service, action string) {
	service = stack.Service(r)
	_, action, _ = strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	switch method := r.Method[:1] + strings.ToLower(r.Method[1:]); service {
	case "cart":
		action = method
	case "s3":
		action = method + "Object"
	case "ses":
		action = "SendEmail"
	case "sns":
		if found := queryAction.FindSubmatch(body); found != nil {
			action = string(found[1])
		}
	}
	return service, action
}

// An answer keeps the status and the beginning of what a neighbour says.
type answer struct {
	http.ResponseWriter
	status int
	begin  []byte
}

func (a *answer) WriteHeader(status int) {
	a.status = status
	a.ResponseWriter.WriteHeader(status)
}

func (a *answer) Write(p []byte) (int, error) {
	if a.status == 0 {
		a.status = http.StatusOK
	}
	if len(a.begin) == 0 {
		a.begin = bytes.Clone(p[:min(len(p), 1<<10)])
	}
	return a.ResponseWriter.Write(p)
}

// fault switches a fault on or off.
func (c *Console) fault(r *http.Request) (any, error) {
	var f struct {
		Fault
		On bool
	}
	if err := json.NewDecoder(r.Body).Decode(&f); err != nil {
		return nil, err
	}
	c.model.set(f.Fault, f.On)
	return nil, nil
}
