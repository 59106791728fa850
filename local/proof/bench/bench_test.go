package main

import (
	"bytes"
	"context"
	"errors"
	"io"
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
	is.Equal(against([]time.Duration{time.Millisecond}), "1 ms")
	is.Equal(against([]time.Duration{3 * time.Millisecond, 2 * time.Millisecond}), "3 ms | 2 ms | 1.50")
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
	is.Equal(b.heads("role", "time"), "| role | time |\n|---|---|\n")
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
