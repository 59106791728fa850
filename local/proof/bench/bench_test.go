package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/matryer/is"
)

func TestFigures(t *testing.T) {
	is := is.New(t)
	is.Equal(median([]time.Duration{9, 1, 5}), time.Duration(5)) // unsorted
	is.Equal(median([]int64{4, 1, 3, 2}), int64(3))              // the later one of two
	is.Equal(median([]int64{7}), int64(7))
	is.Equal(ratio(3*time.Millisecond, 2*time.Millisecond), "1.50")
	is.Equal(ratio(int64(2), int64(3)), "0.67")
	is.Equal(milliseconds(1234567), "1.23 ms")
	is.Equal(milliseconds(123456*time.Microsecond), "123 ms")
	is.Equal(milliseconds(-152*time.Microsecond), "-0.152 ms") // a difference may be below zero
	is.Equal(megabytes(12_340_000), "12.3 MB")
	is.Equal(allocated{1512, 131_072}.String(), "1512 (128 KB)")
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
		"-rounds 0":      "it takes one round and two warm invocations at least",
		"-warm 1":        "it takes one round and two warm invocations at least",
	} {
		is := is.New(t)
		err := run(t.Context(), strings.Fields(args), io.Discard)
		is.True(err != nil)
		is.Equal(err.Error(), want)
	}
}

func TestClassify(t *testing.T) {
	is := is.New(t)
	nm := `  4a1000       1000 T github.com/aws/aws-sdk-go-v2/service/dynamodb.(*Client).GetItem
  4a2000        200 T github.com/aws/aws-sdk-go-v2/service/dynamodb/types.x
  4a3000         30 R type:*github.com/aws/smithy-go.Error
  4a4000          4 T github.com/aws/aws-sdk-go-v2/service/sts.New
  4a5000        500 T github.com/bbws/order-lambda/roles.Build
  4a6000         60 T runtime.mallocgc
                     U malloc
  4a7000         90 B runtime.zeroed
  4a8000         70 b main.zeroed
  4a8800        100 r go:func.*
  4a9000   99999999 D runtime.mislabelled
  this is no symbol
`
	is.Equal(classify([]byte(nm), 2000), map[string]int64{
		"aws-sdk-go-v2: dynamodb":                     1200,
		"aws-sdk-go-v2: the rest, smithy":             30,
		"aws-sdk-go-v2: sts, sso, ssooidc, signin":    4,
		"this service":                                500,
		"Go's runtime and standard library":           60,
		"line tables, type descriptions and the rest": 206,
	})
}

func TestInitialisationIsRead(t *testing.T) {
	is := is.New(t)
	m := traced.FindAllStringSubmatch("init internal/bytealg @0.008 ms, 0 ms clock, 0 bytes, 0 allocs\ninit net/http @0.5 ms, 0.029 ms clock, 1152 bytes, 9 allocs\n{\"level\":\"error\"}\n", -1)
	is.Equal(len(m), 2)
	is.Equal(m[1][1:], []string{"net/http", "0.029", "1152"})
}

func TestGood(t *testing.T) {
	for answer, want := range map[string]bool{
		`{"statusCode":200}`:       true,
		`{"statusCode":202}`:       true,
		`{"batchItemFailures":[]}`: true,
		`{"statusCode":404}`:       false,
		`{"statusCode":500}`:       false,
		`{"batchItemFailures":[{"itemIdentifier":"message-1"}]}`: false,
		`no JSON`: false,
	} {
		is.New(t).Equal(good([]byte(answer)) == nil, want) // answer
	}
}

func TestRepeat(t *testing.T) {
	is := is.New(t)
	event, err := repeat([]byte(`{"Records":[{"messageId":"a","receiptHandle":"b","body":"{}"}]}`), 3)
	is.NoErr(err)
	var batch struct {
		Records []struct{ MessageID, ReceiptHandle, Body string }
	}
	is.NoErr(json.Unmarshal(event, &batch))
	is.Equal(len(batch.Records), 3)
	ids := map[string]bool{}
	for _, r := range batch.Records {
		is.Equal(r.Body, "{}")
		ids[r.MessageID], ids[r.ReceiptHandle] = true, true
	}
	is.Equal(len(ids), 6) // each has its own
	_, err = repeat([]byte("no JSON"), 3)
	is.True(err != nil)
}

// TestGCIsThatOfTheService holds what invoices are measured with to what main.go sets.
func TestGCIsThatOfTheService(t *testing.T) {
	is := is.New(t)
	source, err := os.ReadFile("../../../main.go")
	is.NoErr(err)
	is.True(strings.Contains(string(source), "debug.SetGCPercent(400)"))
	is.Equal(gcPercent, 400)
}
