package lambdaapi

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// behindRIE returns the command line that runs a command behind the official Runtime Interface Emulator, and the URL at
// which it is then invoked.
func behindRIE(ctx context.Context, rie string, command []string) (arguments []string, url string, err error) {
	front, err := freeAddress(ctx)
	if err != nil {
		return nil, "", err
	}
	back, err := freeAddress(ctx)
	if err != nil {
		return nil, "", err
	}
	arguments = append([]string{rie, "--runtime-interface-emulator-address", front, "--runtime-api-address", back}, command...)
	return arguments, "http://" + front + "/2015-03-31/functions/function/invocations", nil
}

// freeAddress returns a loopback address where nobody listens.
func freeAddress(ctx context.Context) (string, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().String(), nil
}

// bridge carries invocations from the function to an emulator that listens at url, until ctx ends.
func (e *environment) bridge(ctx context.Context, url string) {
	address := strings.Split(url, "/")[2]
	for dialer := (&net.Dialer{}); ; {
		conn, err := dialer.DialContext(ctx, "tcp", address)
		if err == nil {
			_ = conn.Close()
			break
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			return
		}
	}
	for {
		inv, err := e.function.next(ctx, e)
		if err != nil {
			return
		}
		answer, err := post(ctx, url, inv)
		var failure struct{ ErrorType, ErrorMessage *string }
		switch {
		case err != nil:
			e.kill()
			return
		case json.Unmarshal(answer, &failure) == nil && failure.ErrorType != nil && failure.ErrorMessage != nil:
			inv.finish(nil, parseError(answer))
		case !json.Valid(answer):
			inv.finish(nil, newError(TypeTimeout, string(answer)))
		default:
			inv.finish(answer, nil)
		}
	}
}

func post(ctx context.Context, url string, inv *invocation) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(inv.payload))
	if err != nil {
		return nil, err
	}
	req.Header.Set("X-Amzn-Trace-Id", inv.trace)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("read the emulator's answer: %w", err)
	}
	return answer, nil
}
