package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/matryer/is"
)

func TestNarrate(t *testing.T) {
	for _, c := range []struct{ name, role, line, want string }{
		{
			"a step", "order_pdf_creator",
			`{"level":"info","kind":"pro_forma","orderId":"o-1","message":"document created"}`,
			"order_pdf_creator            document created  kind=pro_forma  orderId=o-1",
		},
		{
			"an order that is placed", "create_order",
			`{"level":"info","status":202,"message":"request answered"}`,
			"create_order                 request answered  status=202",
		},
		{"a read", "get_order", `{"level":"info","status":200,"message":"request answered"}`, ""},
		{
			"a warning of a read", "get_order", `{"level":"warn","status":404,"message":"request failed"}`,
			"get_order                    WARN request failed  status=404",
		},
		{
			"an error", "create_order", `{"level":"error","error":"no table","message":"request failed"}`,
			"create_order                 ERROR request failed  error=no table",
		},
		{"metrics", "create_order", `{"level":"info","_aws":{},"message":"metrics"}`, ""},
		{"a detail", "create_order", `{"level":"debug","message":"invocation ended"}`, ""},
		{"not the service's own", "get_order", "panic: oh", "get_order  panic: oh"},
	} {
		t.Run(c.name, func(t *testing.T) {
			is := is.New(t)
			is.Equal(strings.TrimSpace(narrate(c.role, c.line)), c.want)
		})
	}
}

func TestNarratorWaitsForItsStart(t *testing.T) {
	is := is.New(t)
	var out bytes.Buffer
	n := narrator{out: &out}
	n.line("get_order", "before")
	n.started.Store(true)
	n.line("get_order", "after")
	is.Equal(out.String(), "get_order  after\n")
}
