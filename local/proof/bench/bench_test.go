package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/matryer/is"
)

func TestFigures(t *testing.T) {
	is := is.New(t)
	is.Equal(median([]time.Duration{9, 1, 5}), time.Duration(5)) // unsorted
	is.Equal(median([]int{4, 1, 3, 2}), 3)                       // the later one of two
	is.Equal(ratio(3*time.Millisecond, 2*time.Millisecond), "1.50")
	is.Equal(milliseconds(1234567), "1.23 ms")
	is.Equal(milliseconds(123456*time.Microsecond), "123 ms")
	is.Equal(against(time.Millisecond), "1 ms")
	is.Equal(against(3*time.Millisecond, 2*time.Millisecond), "3 ms | 2 ms | 1.50")
	b := &bench{}
	is.Equal(b.heads([]string{"time"}, "MB"), "| role | time | MB |\n|---|---|---|\n")
	b.base = "other"
	is.Equal(b.heads([]string{"time"}), "| role | time | base | × |\n|---|---|---|---|\n")
}

func TestTablesArePrintedWhole(t *testing.T) {
	is := is.New(t)
	var out, progress bytes.Buffer
	b := &bench{progress: &progress}
	seen := ""
	half := func(context.Context) error {
		b.printf("| a | %d |\n", 1)
		b.say("measuring the rest")
		seen = out.String()
		b.printf("| b | %d |\n", 2)
		return nil
	}
	broken := func(context.Context) error {
		b.printf("| c |\n")
		return errors.New("no luck")
	}
	err := b.measure(t.Context(), []section{{"half", half}, {"broken", broken}, {"half", half}}, &out)
	is.Equal(err.Error(), "broken: no luck")
	is.Equal(seen, "")                               // nothing of a table before it is complete
	is.Equal(out.String(), "| a | 1 |\n| b | 2 |\n") // nothing of the one that broke
	is.Equal(progress.String(), "measuring the rest\n")
}

func TestArguments(t *testing.T) {
	for args, want := range map[string]string{
		"-only nonsense": "there is no such section",
		"-rounds 0":      "it takes one round, two warm invocations and one MB at least",
		"-warm 1":        "it takes one round, two warm invocations and one MB at least",
	} {
		is := is.New(t)
		err := run(t.Context(), strings.Fields(args), io.Discard)
		is.True(err != nil)
		is.Equal(err.Error(), want)
	}
}

func TestGood(t *testing.T) {
	for answer, want := range map[string]bool{
		`{"statusCode":200}`:       true,
		`{"batchItemFailures":[]}`: true,
		`{"statusCode":404}`:       false,
		`{"batchItemFailures":[{"itemIdentifier":"message-1"}]}`: false,
		`no JSON`: false,
	} {
		is.New(t).Equal(good([]byte(answer)) == nil, want) // answer
	}
}

func TestWriteBundle(t *testing.T) {
	is := is.New(t)
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	file := filepath.Join(t.TempDir(), "bundle.pem")
	is.NoErr(writeBundle(file, server.Certificate().Raw))
	content, err := os.ReadFile(file)
	is.NoErr(err)
	is.Equal(bytes.Count(content, []byte("BEGIN CERTIFICATE")), 6) // the image's five and the server's
	block, _ := pem.Decode(content)
	is.True(block != nil)
	pool := x509.NewCertPool()
	is.True(pool.AppendCertsFromPEM(content))
	_, err = server.Certificate().Verify(x509.VerifyOptions{Roots: pool, DNSName: "example.com"})
	is.NoErr(err)
}
