package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/matryer/is"
)

func TestRun(t *testing.T) {
	is := is.New(t)
	function := filepath.Join(t.TempDir(), "function")
	out, err := exec.Command("go", "build", "-o", function, "../lambdaapi/testdata/function").CombinedOutput()
	is.NoErr(err)
	is.Equal(string(out), "")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	is.NoErr(err)
	address := listener.Addr().String()
	is.NoErr(listener.Close())

	t.Setenv("AWS_LAMBDA_FUNCTION_TIMEOUT", "1")
	t.Setenv("AWS_LAMBDA_FUNCTION_NAME", "mine")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		args := []string{"rie", "--log-level", "error", "--enable-init-caching", "--runtime-api-address=127.0.0.1:0", "--runtime-interface-emulator-address", address, function, "handler"}
		ended <- run(ctx, args, nil, io.Discard)
	}()
	invoke := func(body string) (*http.Response, string) {
		for {
			resp, err := http.Post("http://"+address+"/2015-03-31/functions/function/invocations", "", strings.NewReader(body))
			if err != nil && strings.Contains(err.Error(), "refused") && t.Context().Err() == nil {
				continue // it is still starting
			}
			is.NoErr(err)
			answer, err := io.ReadAll(resp.Body)
			is.NoErr(err)
			is.NoErr(resp.Body.Close())
			return resp, string(answer)
		}
	}
	for _, c := range []struct {
		name, event string
		status      int
		failed      string // X-Amz-Function-Error
		answer      string // a part of it
	}{
		{"an answer", `{"do":"env"}`, 200, "", `_HANDLER=handler\n`},
		{"the function's name", `{"do":""}`, 200, "", `"Name":"mine"`},
		{"an error", `{"do":"fail","text":"no"}`, 200, "Unhandled", `{"errorMessage":"no","errorType":"errorString"}`},
		{"a timeout", `{"do":"hang"}`, 200, "Unhandled", "Task timed out after 1.00 seconds"},
		{"a crash", `{"do":"exit"}`, 502, "Unhandled", `"errorType":"Runtime.ExitError"`},
		{"an answer after a crash", `{"do":"","text":"alive"}`, 200, "", "alive"},
	} {
		resp, answer := invoke(c.event)
		is.Equal(resp.StatusCode, c.status)                         // status
		is.Equal(resp.Header.Get("X-Amz-Function-Error"), c.failed) // error header
		is.True(strings.Contains(answer, c.answer))                 // body
	}
	cancel()
	is.NoErr(<-ended)
}

func TestRunRefuses(t *testing.T) {
	t.Run("no command", func(t *testing.T) {
		is := is.New(t)
		err := run(t.Context(), []string{"rie"}, nil, io.Discard)
		is.Equal(err.Error(), "no COMMAND is given and there is no /var/task/bootstrap")
	})
	t.Run("a timeout that is no number", func(t *testing.T) {
		is := is.New(t)
		t.Setenv("AWS_LAMBDA_FUNCTION_TIMEOUT", "soon")
		is.True(run(t.Context(), []string{"rie", "true"}, nil, io.Discard) != nil)
	})
}
