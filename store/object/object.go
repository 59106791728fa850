// Package object reads objects of S3 that seldom change, such as templates and
// branding, and keeps what was made of them while the function is warm.
package object

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

const (
	keep = 5 * time.Minute
	// retry is how long a failed read stands, so that the messages of a batch
	// do not wait for it one after the other.
	retry = 10 * time.Second
	// timeout bounds one read with its retries.
	timeout = 3 * time.Second
	// mostKeys bounds the cache: a tenant may have objects of its own.
	mostKeys = 256
)

// ErrAbsent says that S3 confirmed that there is no such object.
var ErrAbsent = errors.New("no such object")

// A FaultyError says that there is an object, but it cannot be parsed.
type FaultyError struct {
	Key string
	Err error
}

func (e *FaultyError) Error() string { return e.Key + ": " + e.Err.Error() }

// Unwrap returns what the parser said.
func (e *FaultyError) Unwrap() error { return e.Err }

// Getter reads objects. *s3.Client is one.
type Getter interface {
	GetObject(context.Context, *s3.GetObjectInput, ...func(*s3.Options)) (*s3.GetObjectOutput, error)
}

// A Cache keeps objects of one bucket, parsed, for five minutes. After that it
// asks S3 whether they have changed. It may be used concurrently.
type Cache[T any] struct {
	client Getter
	bucket string
	most   int64
	parse  func([]byte) (T, error)
	now    func() time.Time

	mu      sync.Mutex
	entries map[string]*entry[T]
}

// New returns a cache of objects of at most so many bytes. What parse returns
// is shared by all callers of Get.
func New[T any](
	client Getter, bucket string, most int64, parse func([]byte) (T, error), now func() time.Time,
) *Cache[T] {
	return &Cache[T]{
		client: client, bucket: bucket, most: most, parse: parse, now: now, entries: map[string]*entry[T]{},
	}
}

// An entry is what is known about one object.
type entry[T any] struct {
	// turn holds a token while the fields below are in use: a mutex that a
	// context can leave.
	turn chan struct{}

	value   T
	etag    string
	verdict error // what S3 or parse last said: nil, ErrAbsent or a *FaultyError
	err     error // the verdict, or why there is no newer one
	checked time.Time
	good    time.Duration // how long all this stands, from checked on
}

// Get returns what was made of an object. The error is ErrAbsent if S3 says
// that there is none, or a *FaultyError if it cannot be parsed; both are kept
// as long as a value. Any other error says that the object could not be read
// now: it stands for ten seconds, and the value is then the one read last, or
// zero. Callers that come while an object is read wait for that read.
func (c *Cache[T]) Get(ctx context.Context, key string) (T, error) {
	e := c.entry(key)
	select {
	case e.turn <- struct{}{}:
		defer func() { <-e.turn }()
	case <-ctx.Done():
	}
	if err := ctx.Err(); err != nil { // The caller gave up, so S3 need not be asked.
		var none T
		return none, fmt.Errorf("read %s: %w", key, err)
	}
	now := c.now()
	if age := now.Sub(e.checked); 0 <= age && age < e.good {
		return e.value, e.err
	}
	value, etag, err := c.read(ctx, key, e.etag)
	var faulty *FaultyError
	switch {
	case errors.Is(err, errUnchanged):
		e.err, e.good = e.verdict, keep
	case err == nil, errors.Is(err, ErrAbsent), errors.As(err, &faulty):
		e.value, e.etag, e.verdict, e.err, e.good = value, etag, err, err, keep
	case ctx.Err() != nil:
		return e.value, err // The caller gave up, which says nothing about the object.
	default:
		e.err, e.good = err, retry
	}
	e.checked = now
	return e.value, e.err
}

// entry returns the entry of a key. If there are too many, it drops another
// one; a caller that is using it may finish.
func (c *Cache[T]) entry(key string) *entry[T] {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, found := c.entries[key]
	if !found {
		for other := range c.entries {
			if len(c.entries) < mostKeys {
				break
			}
			delete(c.entries, other)
		}
		e = &entry[T]{turn: make(chan struct{}, 1)}
		c.entries[key] = e
	}
	return e
}

// errUnchanged says that the object still has the ETag that was asked for.
var errUnchanged = errors.New("not modified")

func (c *Cache[T]) read(ctx context.Context, key, etag string) (value T, newETag string, err error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	in := &s3.GetObjectInput{Bucket: &c.bucket, Key: &key}
	if etag != "" {
		in.IfNoneMatch = &etag
	}
	out, err := c.client.GetObject(ctx, in)
	if err != nil {
		return value, "", fmt.Errorf("read %s: %w", key, answer(err))
	}
	defer func() { _ = out.Body.Close() }() // Only read from.
	data, err := io.ReadAll(io.LimitReader(out.Body, c.most+1))
	if err != nil {
		return value, "", fmt.Errorf("read %s: %w", key, err)
	}
	newETag = aws.ToString(out.ETag)
	if int64(len(data)) > c.most {
		return value, newETag, &FaultyError{key, fmt.Errorf("more than %d bytes", c.most)}
	}
	if value, err = c.safely(data); err != nil {
		var none T
		return none, newETag, &FaultyError{key, err}
	}
	return value, newETag, nil
}

// answer turns an error of S3 into ErrAbsent or errUnchanged if it is one.
// Access that is denied and a bucket that is missing say nothing about the
// object: without the right to list the bucket, S3 answers 403 for an absent
// one, too.
func answer(err error) error {
	var missing *types.NoSuchKey
	var response *smithyhttp.ResponseError
	switch {
	case errors.As(err, &missing):
		return ErrAbsent
	case errors.As(err, &response) && response.HTTPStatusCode() == http.StatusNotModified:
		return errUnchanged
	}
	return err
}

// safely parses what someone put into the bucket. A panic in a decoder must not
// take the function down.
func (c *Cache[T]) safely(data []byte) (value T, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return c.parse(data)
}
