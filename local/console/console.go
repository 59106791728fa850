// Package console serves the developers' console of the local stack: an order's
// way, mails, queues, documents and templates, and the contract to try out. It
// keeps what it shows in memory, from what the roles log, from their
// invocations, and from their calls to AWS and the Cart API.
//
// The pages are the files beside this one, and packages from npm that `make
// setup` installs; nothing is built, and nothing is loaded from elsewhere.
package console

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/bbws/order-lambda/local/cartstub"
	"github.com/bbws/order-lambda/local/emulator"
	"github.com/bbws/order-lambda/local/gateway"
	"github.com/bbws/order-lambda/local/stack"
	"github.com/bbws/order-lambda/notify/templates"
	"github.com/bbws/order-lambda/order"
)

// A Console serves the pages, and what they ask for.
type Console struct {
	root    string // of the repository
	model   *model
	running atomic.Pointer[stack.Stack]
}

// Start starts a stack with a console at the root of the API's address. It
// takes the hooks of the options for itself, but for OnLog, which it shares.
func Start(ctx context.Context, options stack.Options) (*stack.Stack, error) {
	root, err := emulator.Root()
	if err != nil {
		return nil, err
	}
	c := &Console{root: root, model: newModel()}
	if options.Other, err = c.handler(); err != nil {
		return nil, err
	}
	told := options.OnLog
	options.OnLog = func(role, line string) {
		c.model.logged(line)
		if told != nil {
			told(role, line)
		}
	}
	options.OnInvoke, options.Around = c.model.invoked, c.around
	s, err := stack.Start(ctx, options)
	c.running.Store(s)
	return s, err
}

// stack returns the stack. It is asked for only when that runs.
func (c *Console) stack() *stack.Stack { return c.running.Load() }

// libraries are what the pages use of node_modules, by the names under /lib/.
var libraries = map[string]string{
	"preact.js": "preact/dist/preact.mjs", "hooks.js": "preact/hooks/dist/hooks.mjs", "htm.js": "htm/dist/htm.mjs",
	"swagger-ui.js": "swagger-ui-dist/swagger-ui-bundle.js", "swagger-ui.css": "swagger-ui-dist/swagger-ui.css",
}

func (c *Console) handler() (http.Handler, error) {
	mux := http.NewServeMux()
	// A change of a file is seen with the next request.
	mux.Handle("GET /", http.FileServerFS(os.DirFS(filepath.Join(c.root, "local", "console"))))
	for name, file := range libraries {
		content, err := os.ReadFile(filepath.Join(c.root, "local", "console", "node_modules", file))
		if err != nil {
			return nil, errors.New("what the console serves is not installed: run `make setup`")
		}
		content = bytes.ReplaceAll(content, []byte(`from"preact"`), []byte(`from"./preact.js"`)) // a browser knows paths only
		mux.HandleFunc("GET /lib/"+name, func(w http.ResponseWriter, r *http.Request) {
			http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(content))
		})
	}
	mux.HandleFunc("GET /openapi.yaml", func(w http.ResponseWriter, r *http.Request) {
		http.ServeFile(w, r, filepath.Join(c.root, "roles", "openapi.yaml"))
	})
	mux.HandleFunc("GET /console/events", c.events)
	mux.HandleFunc("GET /console/sample/{kind}", c.sample)
	mux.HandleFunc("GET /console/documents/{key...}", c.object)
	for pattern, answer := range map[string]func(r *http.Request) (any, error){
		"GET /console/token":              c.token,
		"GET /console/orders":             c.orders,
		"GET /console/orders/{id}":        c.order,
		"GET /console/mails/{id}":         c.mail,
		"GET /console/templates/{key...}": c.render,
		"GET /console/dead/{queue}":       c.dead,
		"POST /console/redrive/{role}":    c.redrive,
		"POST /console/deliver":           c.deliver,
		"POST /console/faults":            c.fault,
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			v, err := answer(r)
			if err != nil {
				http.Error(w, err.Error(), http.StatusUnprocessableEntity)
				return
			}
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(v)
		})
	}
	return local(http.NewCrossOriginProtection().Handler(mux)), nil
}

// local lets only pages of this machine in, because the console gives tokens
// away: a foreign site whose name was made to lead here is refused. It also
// keeps the pages from loading anything from elsewhere.
func local(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil {
			host = r.Host
		}
		if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			http.Error(w, "this page is for this machine only", http.StatusForbidden)
			return
		}
		w.Header().Set("Cache-Control", "no-cache")
		w.Header().Set("Content-Security-Policy",
			"default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'self'")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		next.ServeHTTP(w, r)
	})
}

// events tells a page what changes, as server-sent events: a few in a second at
// most, each with what has changed since the last one. The first one has what a
// page shows first.
func (c *Console) events(w http.ResponseWriter, r *http.Request) {
	c.look(r.Context())
	go c.watch(r.Context())
	w.Header().Set("Content-Type", "text/event-stream")
	version, news := c.model.since(0)
	keys, _ := fs.Glob(templates.FS, "*/*.html") // the pattern is well formed
	maps.Copy(news, map[string]any{"carts": cartstub.Kinds(), "moments": moments(), "templates": keys})
	for {
		text, err := json.Marshal(news)
		if err == nil {
			_, err = fmt.Fprintf(w, "data: %s\n\n", text)
		}
		if err != nil || http.NewResponseController(w).Flush() != nil {
			return
		}
		c.model.Lock()
		changed := c.model.changed
		isNew := c.model.version > version
		c.model.Unlock()
		if !isNew {
			select {
			case <-r.Context().Done():
				return
			case <-changed:
			}
		}
		time.Sleep(150 * time.Millisecond) // what happens at once is told at once
		version, news = c.model.since(version)
	}
}

// token answers with a token for a tenant.
func (c *Console) token(r *http.Request) (any, error) {
	id := gateway.Identity{Tenant: r.FormValue("tenant"), Email: "someone@example.com"}
	if !order.IsTenantID(id.Tenant) {
		return nil, errors.New("a tenant is 1 to 128 letters, digits and _ . : -, starting with a letter or digit")
	}
	if r.FormValue("admin") != "" {
		id.Groups = []string{"admin"}
	}
	return c.stack().Token(id)
}

// orders answers with a page of orders.
func (c *Console) orders(r *http.Request) (any, error) {
	before, _ := strconv.Atoi(r.FormValue("before")) // 0 for the newest
	c.model.Lock()
	defer c.model.Unlock()
	return c.model.page(r.FormValue("q"), before), nil
}

// order answers with an order's way.
func (c *Console) order(r *http.Request) (any, error) {
	c.model.Lock()
	defer c.model.Unlock()
	o := c.model.orders[r.PathValue("id")]
	if o == nil {
		return nil, errors.New("there is no such order")
	}
	mails := []*Mail{}
	for _, m := range c.model.mails {
		if m.Order == o.ID {
			mails = append(mails, m)
		}
	}
	way, err := json.Marshal(o.trace) // now: it goes on
	return map[string]any{"order": *o, "trace": json.RawMessage(way), "mails": mails}, err
}

// mail answers with a mail's content.
func (c *Console) mail(r *http.Request) (any, error) {
	c.model.Lock()
	defer c.model.Unlock()
	for _, m := range c.model.mails {
		if m.ID == r.PathValue("id") {
			return map[string]any{"mail": m, "html": m.html, "text": m.text}, nil
		}
	}
	return nil, errors.New("there is no such mail, or no longer")
}

// object serves a document.
func (c *Console) object(w http.ResponseWriter, r *http.Request) {
	in := s3.GetObjectInput{Bucket: aws.String(stack.OrdersBucket), Key: aws.String(r.PathValue("key"))}
	out, err := c.stack().S3.GetObject(r.Context(), &in)
	if err != nil {
		http.Error(w, "there is no such document", http.StatusNotFound)
		return
	}
	defer func() { _ = out.Body.Close() }()
	w.Header().Set("Content-Type", "application/pdf")
	_, _ = io.Copy(w, out.Body)
}

// dead answers with the messages of a dead-letter queue and why they are there,
// as far as it is known.
func (c *Console) dead(r *http.Request) (any, error) {
	messages, err := c.stack().Messages(r.Context(), r.PathValue("queue"))
	if err != nil {
		return nil, err
	}
	type letter struct {
		ID     string `json:"id"`
		Order  string `json:"order"`
		Reason string `json:"reason"`
		Body   string `json:"body"`
	}
	letters := []letter{}
	c.model.Lock()
	defer c.model.Unlock()
	for _, m := range messages[:min(len(messages), pageSize)] {
		l := letter{ID: m.MessageID, Body: m.Body}
		if a := c.model.attempts[m.MessageID]; a != nil {
			l.Order, l.Reason = a.Order, a.Error
		}
		letters = append(letters, l)
	}
	return map[string]any{"letters": letters, "total": len(messages)}, nil
}

// redrive delivers the messages of a dead-letter queue again.
func (c *Console) redrive(r *http.Request) (any, error) {
	role := r.PathValue("role")
	if !c.stack().IsConsumer(role) {
		return nil, errors.New("there is no such queue")
	}
	return nil, c.stack().Redrive(r.Context(), role)
}

// deliver delivers what an attempt had once more, or several times.
func (c *Console) deliver(r *http.Request) (any, error) {
	var what struct {
		Order          string
		Attempt, Times int
	}
	if err := json.NewDecoder(r.Body).Decode(&what); err != nil {
		return nil, err
	}
	a := c.attempt(what.Order, what.Attempt)
	if a == nil || a.Source == "api" {
		return nil, errors.New("there is no such message")
	}
	for range what.Times {
		if a.Source == "stream" {
			ctx := context.WithoutCancel(r.Context())
			go func() { _, _ = c.stack().Invoke(ctx, a.Role, a.event) }() // the order's way shows how it ends
		} else if err := c.stack().Deliver(r.Context(), a.Role, a.Body); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// attempt returns an attempt, nil if it is not kept.
func (c *Console) attempt(orderID string, id int) *attempt {
	c.model.Lock()
	defer c.model.Unlock()
	if o := c.model.orders[orderID]; o != nil && o.trace != nil {
		for _, a := range o.trace.Attempts {
			if a.ID == id {
				return a
			}
		}
	}
	return nil
}
