// Package page serves the page of the local stack: the contract, rendered so
// that it can be tried, and beside it what happens behind the API. The renderer
// is a package from npm that `make setup` installs beside this file; nothing is
// loaded from elsewhere.
package page

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
)

// A Source knows what happens behind the API.
type Source interface {
	// Status returns the present state.
	Status(ctx context.Context) (Status, error)
	// Token returns a token that the API accepts. The error says what is wrong
	// with the tenant.
	Token(tenant string, admin bool) (string, error)
	// Invoice returns a link to an order's invoice that works for a while.
	Invoice(ctx context.Context, tenant, orderID string) (string, error)
}

// Status is what the page shows beside the contract, the newest first.
type Status struct {
	Orders []Order `json:"orders"`
	Mails  []Mail  `json:"mails"`
	Queues []Queue `json:"queues"` // in the order of the flow
}

// An Order is an order, or its receipt as long as there is nothing else.
type Order struct {
	ID       string    `json:"id"`
	Number   string    `json:"number"`
	Tenant   string    `json:"tenant"`
	Status   string    `json:"status"`
	Recorded bool      `json:"recorded"` // false: a receipt
	Failure  string    `json:"failure"`  // why a receipt failed
	Total    string    `json:"total"`    // with the currency's decimals
	Currency string    `json:"currency"`
	Placed   time.Time `json:"placed"`
	Invoice  bool      `json:"invoice"` // there is one
}

// A Mail is a mail that was sent.
type Mail struct {
	ID      string    `json:"id"`
	From    string    `json:"from"`
	To      []string  `json:"to"`
	Subject string    `json:"subject"`
	Sent    time.Time `json:"sent"`
	HTML    string    `json:"html"`
	Text    string    `json:"text"`
}

// A Queue is a queue with its dead-letter queue.
type Queue struct {
	Name     string `json:"name"`
	Waiting  int    `json:"waiting"`
	InFlight int    `json:"inFlight"`
	Dead     int    `json:"dead"` // messages in the dead-letter queue
}

// Handler returns the page, for the root of the local gateway. The directory is
// that of the repository.
func Handler(repository string, source Source) (http.Handler, error) {
	renderer := filepath.Join(repository, "local", "page", "node_modules", "swagger-ui-dist")
	if _, err := os.Stat(filepath.Join(renderer, "swagger-ui-bundle.js")); errors.Is(err, fs.ErrNotExist) {
		return nil, errors.New("the page's renderer is not installed: run `make setup`")
	}
	contract, err := document(filepath.Join(repository, "roles", "openapi.yaml"))
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	// A change of the page is seen with the next request.
	mux.Handle("GET /", http.FileServerFS(os.DirFS(filepath.Join(repository, "local", "page"))))
	mux.Handle("GET /ui/", http.StripPrefix("/ui/", http.FileServerFS(os.DirFS(renderer))))
	mux.HandleFunc("GET /openapi.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(contract)
	})
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, r *http.Request) {
		status, err := source.Status(r.Context())
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(status)
	})
	mux.HandleFunc("GET /token", func(w http.ResponseWriter, r *http.Request) {
		token, err := source.Token(r.FormValue("tenant"), r.FormValue("admin") != "")
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write([]byte(token))
	})
	mux.HandleFunc("GET /invoice", func(w http.ResponseWriter, r *http.Request) {
		link, err := source.Invoice(r.Context(), r.FormValue("tenant"), r.FormValue("id"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusNotFound)
			return
		}
		http.Redirect(w, r, link, http.StatusSeeOther)
	})
	return local(mux), nil
}

// local lets only pages of this machine in, because the page gives tokens away:
// a foreign site whose name was made to lead here is refused. It also keeps the
// page from loading anything from elsewhere.
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
			"default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		next.ServeHTTP(w, r)
	})
}

// document returns the contract as JSON for its readers: without what only API
// Gateway reads, and without the preflights. The renderer uses the page's own
// server if no other is named.
func document(file string) ([]byte, error) {
	doc, err := openapi3.NewLoader().LoadFromFile(file)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	text, err := json.Marshal(doc)
	if err != nil {
		return nil, err
	}
	var contract map[string]any
	if err := json.Unmarshal(text, &contract); err != nil {
		return nil, err
	}
	strip(contract)
	delete(contract, "servers")
	return json.Marshal(contract)
}

func strip(v any) {
	switch v := v.(type) {
	case map[string]any:
		for name, inner := range v {
			if strings.HasPrefix(name, "x-amazon-") || name == "options" {
				delete(v, name)
				continue
			}
			strip(inner)
		}
	case []any:
		for _, inner := range v {
			strip(inner)
		}
	}
}
