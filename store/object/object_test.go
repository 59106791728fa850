package object_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/matryer/is"

	"github.com/bbws/order-lambda/store/object"
)

// Time stands still in a synctest bubble unless every goroutine waits, so these
// tests take no time of their own.

const key = "branding/company.json"

// A bucket holds objects in memory, answers conditional reads, and fails where
// its hooks say so.
type bucket struct {
	mu     sync.Mutex
	data   map[string]string
	asked  []string // key and condition of each read
	noETag bool

	before func(ctx context.Context) error
	body   func(io.Reader) io.Reader
}

func (b *bucket) GetObject(
	ctx context.Context, in *s3.GetObjectInput, _ ...func(*s3.Options),
) (*s3.GetObjectOutput, error) {
	b.mu.Lock()
	b.asked = append(b.asked, *in.Bucket+"/"+*in.Key+" "+aws.ToString(in.IfNoneMatch))
	data, found := b.data[*in.Key]
	b.mu.Unlock()
	if b.before != nil {
		if err := b.before(ctx); err != nil {
			return nil, err
		}
	}
	if !found {
		return nil, fmt.Errorf("operation error S3: %w", &types.NoSuchKey{})
	}
	etag := aws.String(`"` + data + `"`)
	if aws.ToString(in.IfNoneMatch) == *etag {
		return nil, status(http.StatusNotModified, "NotModified")
	}
	if b.noETag {
		etag = nil
	}
	var body io.Reader = strings.NewReader(data)
	if b.body != nil {
		body = b.body(body)
	}
	return &s3.GetObjectOutput{Body: io.NopCloser(body), ETag: etag}, nil
}

// status returns an answer of S3 in the form in which the SDK reports it.
func status(code int, name string) error {
	return fmt.Errorf("operation error S3: %w", &smithyhttp.ResponseError{
		Response: &smithyhttp.Response{Response: &http.Response{StatusCode: code}},
		Err:      &smithy.GenericAPIError{Code: name},
	})
}

// upper is a parser: it refuses what begins with a question mark and panics at
// an exclamation mark.
func upper(data []byte) (string, error) {
	if bytes.HasPrefix(data, []byte("?")) {
		return "half", errors.New("a question")
	}
	if bytes.HasPrefix(data, []byte("!")) {
		panic("an exclamation")
	}
	return strings.ToUpper(string(data)), nil
}

func newCache(b *bucket) *object.Cache[string] {
	return object.New(b, "templates", 16, upper, time.Now)
}

func TestObjectIsKeptForFiveMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		b := &bucket{data: map[string]string{key: "first"}}
		c := newCache(b)
		for range 2 {
			got, err := c.Get(t.Context(), key)
			is.NoErr(err)
			is.Equal(got, "FIRST")
		}
		is.Equal(b.asked, []string{"templates/" + key + " "})

		time.Sleep(5*time.Minute - time.Nanosecond)
		_, _ = c.Get(t.Context(), key)
		is.Equal(len(b.asked), 1) // still fresh

		time.Sleep(time.Nanosecond)
		got, err := c.Get(t.Context(), key)
		is.NoErr(err)
		is.Equal(got, "FIRST")                                           // not modified
		is.Equal(b.asked[1:], []string{"templates/" + key + ` "first"`}) // asked with the ETag
		_, _ = c.Get(t.Context(), key)
		is.Equal(len(b.asked), 2) // fresh again

		b.data[key] = "sixteen letters!" // as large as one may be
		time.Sleep(5 * time.Minute)
		got, err = c.Get(t.Context(), key)
		is.NoErr(err)
		is.Equal(got, "SIXTEEN LETTERS!")
	})
}

func TestObjectWithoutETagIsReadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		b := &bucket{data: map[string]string{key: "first"}, noETag: true}
		c := newCache(b)
		for range 2 {
			got, err := c.Get(t.Context(), key)
			is.NoErr(err)
			is.Equal(got, "FIRST")
			time.Sleep(5 * time.Minute)
		}
		is.Equal(len(b.asked), 2)
	})
}

// A clock that is set back must not keep an old object alive.
func TestClockGoesBack(t *testing.T) {
	is := is.New(t)
	b := &bucket{data: map[string]string{key: "first"}}
	clock := time.Date(2025, 12, 30, 10, 30, 0, 0, time.UTC)
	c := object.New(b, "templates", 16, upper, func() time.Time { return clock })
	for range 2 {
		_, err := c.Get(t.Context(), key)
		is.NoErr(err)
		clock = clock.Add(-time.Hour)
	}
	is.Equal(len(b.asked), 2)
}

// What S3 says for sure stands as long as an object does, also where there was
// a good one before.
func TestVerdictIsKept(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*bucket)
		want   string // of the error
	}{
		"absent":    {func(b *bucket) { delete(b.data, key) }, "read " + key + ": no such object"},
		"faulty":    {func(b *bucket) { b.data[key] = "?" }, key + ": a question"},
		"panic":     {func(b *bucket) { b.data[key] = "!" }, key + ": panic: an exclamation"},
		"too large": {func(b *bucket) { b.data[key] = strings.Repeat("a", 17) }, key + ": more than 16 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				is := is.New(t)
				b := &bucket{data: map[string]string{key: "first"}}
				cache := newCache(b)
				_, err := cache.Get(t.Context(), key)
				is.NoErr(err)
				c.change(b)
				for range 2 { // the second round asks S3, which has the same as before
					time.Sleep(5 * time.Minute)
					for range 2 {
						got, err := cache.Get(t.Context(), key)
						is.Equal(got, "") // never the one before
						is.Equal(fmt.Sprint(err), c.want)
						var faulty *object.FaultyError
						is.True(errors.Is(err, object.ErrAbsent) != errors.As(err, &faulty))
					}
				}
				is.Equal(len(b.asked), 3)
			})
		})
	}
}

// Whatever does not say that the object is absent is a fault that passes.
func TestFailedReadStandsForTenSeconds(t *testing.T) {
	for name, fault := range map[string]error{
		"denied":      status(http.StatusForbidden, "AccessDenied"),
		"no bucket":   status(http.StatusNotFound, "NoSuchBucket"),
		"unavailable": status(http.StatusServiceUnavailable, "SlowDown"),
		"connection":  errors.New("connection refused"),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				is := is.New(t)
				b := &bucket{data: map[string]string{key: "first"}}
				c := newCache(b)
				fail := func(want string) {
					b.before = func(context.Context) error { return fault }
					for range 2 {
						got, err := c.Get(t.Context(), key)
						is.Equal(got, want)
						is.True(errors.Is(err, fault))
						is.True(!errors.Is(err, object.ErrAbsent))
					}
					b.before = nil
				}
				fail("")
				is.Equal(len(b.asked), 1) // the second call does not wait for S3
				time.Sleep(10 * time.Second)
				got, err := c.Get(t.Context(), key)
				is.NoErr(err)
				is.Equal(got, "FIRST")
				time.Sleep(5 * time.Minute)
				fail("FIRST") // the one read last, and why there is no newer one
				time.Sleep(10 * time.Second)
				_, err = c.Get(t.Context(), key)
				is.NoErr(err)             // not modified
				is.Equal(len(b.asked), 4) // two reads, two faults
			})
		})
	}
}

// A fault that passes does not make a good object of a faulty one.
func TestFaultSurvivesAFailedRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		b := &bucket{data: map[string]string{key: "?"}}
		c := newCache(b)
		_, first := c.Get(t.Context(), key)
		b.before = func(context.Context) error { return errors.New("connection refused") }
		time.Sleep(5 * time.Minute)
		got, err := c.Get(t.Context(), key)
		is.Equal(got, "")
		is.True(strings.HasSuffix(err.Error(), "connection refused"))
		b.before = nil
		time.Sleep(10 * time.Second)
		_, err = c.Get(t.Context(), key)
		is.Equal(err, first) // not modified
	})
}

func TestBodyBreaksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		reset := errors.New("connection reset")
		b := &bucket{data: map[string]string{key: "first"}}
		b.body = func(r io.Reader) io.Reader { return io.MultiReader(io.LimitReader(r, 2), failing{reset}) }
		c := newCache(b)
		_, err := c.Get(t.Context(), key)
		is.True(errors.Is(err, reset)) // a failed read, not a faulty object
		b.body = nil
		time.Sleep(10 * time.Second)
		got, err := c.Get(t.Context(), key)
		is.NoErr(err)
		is.Equal(got, "FIRST")
	})
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestSlowReadEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		b := &bucket{before: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }}
		start := time.Now()
		_, err := newCache(b).Get(t.Context(), key)
		is.True(errors.Is(err, context.DeadlineExceeded))
		is.Equal(time.Since(start), 3*time.Second) // in the bubble's time
	})
}

func TestManyAtOnceReadOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		release := make(chan struct{})
		b := &bucket{data: map[string]string{key: "first", "other": "second"}}
		b.before = func(context.Context) error { <-release; return nil }
		c := newCache(b)
		const batch = 10
		got := make(chan string, 2*batch)
		for range batch {
			for _, k := range []string{key, "other"} {
				go func() {
					value, err := c.Get(t.Context(), k)
					got <- fmt.Sprint(k, value, err)
				}()
			}
		}
		synctest.Wait()
		is.Equal(len(b.asked), 2) // one key does not wait for another
		close(release)
		count := map[string]int{}
		for range 2 * batch {
			count[<-got]++
		}
		is.Equal(count, map[string]int{key + "FIRST<nil>": batch, "otherSECOND<nil>": batch})
		is.Equal(len(b.asked), 2)
	})
}

func TestWaitingEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		release := make(chan struct{})
		b := &bucket{before: func(context.Context) error { <-release; return nil }}
		c := newCache(b)
		go func() { _, _ = c.Get(t.Context(), key) }()
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := c.Get(ctx, key)
		is.True(errors.Is(err, context.Canceled)) // not behind the slow read
		close(release)
	})
}

func TestNothingIsAskedInVain(t *testing.T) {
	is := is.New(t)
	b := &bucket{}
	c := newCache(b)
	ended, end := context.WithCancel(t.Context())
	end()
	for range 20 { // Both ways on are open; which one is taken is chance.
		_, err := c.Get(ended, key)
		is.True(errors.Is(err, context.Canceled))
	}
	is.Equal(len(b.asked), 0)
}

// A caller that gives up says nothing about the object: the next one reads it.
func TestCancelledReadIsNotKept(t *testing.T) {
	is := is.New(t)
	b := &bucket{data: map[string]string{key: "first"}}
	ctx, cancel := context.WithCancel(t.Context())
	b.before = func(ctx context.Context) error { cancel(); return ctx.Err() }
	c := newCache(b)
	_, err := c.Get(ctx, key)
	is.True(errors.Is(err, context.Canceled))
	b.before = nil
	got, err := c.Get(t.Context(), key)
	is.NoErr(err)
	is.Equal(got, "FIRST")
}

// The cache holds a bounded number of objects, the newest among them.
func TestManyKeys(t *testing.T) {
	for _, n := range []int{256, 257, 1000} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			is := is.New(t)
			b := &bucket{data: map[string]string{}}
			c := newCache(b)
			for i := range n {
				k := fmt.Sprint("branding/", i, "/company.json")
				b.data[k] = "a"
				for range 2 {
					got, err := c.Get(t.Context(), k)
					is.NoErr(err)
					is.Equal(got, "A")
				}
			}
			is.Equal(len(b.asked), n) // the second call found it
			for i := range n {
				_, _ = c.Get(t.Context(), fmt.Sprint("branding/", i, "/company.json"))
			}
			is.True(len(b.asked) >= 2*n-256)      // all but 256 were let go
			is.True(n > 256 || len(b.asked) == n) // and none without need
		})
	}
}
