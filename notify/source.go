package notify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

const (
	keepTemplate = 5 * time.Minute
	// retryTemplate is how long a failed read stands, so that a batch does not wait for it once for every mail.
	retryTemplate = 10 * time.Second
	// readTimeout bounds one read, with its retries: the mail is more urgent than its looks.
	readTimeout = 3 * time.Second
)

// A source reads one template from S3 and keeps it for five minutes. Callers that come while it reads wait for the one read.
type source struct {
	objects     Objects
	bucket, key string
	known       vocabulary
	now         func() time.Time

	lock chan struct{} // holds one token while the fields below are in use; a mutex that a context can leave
	kept *template
	err  error // why kept is nil, or older than five minutes
	from time.Time
	good time.Duration // how long, from then on, kept and err stand
}

func newSource(objects Objects, bucket, key string, known vocabulary, now func() time.Time) *source {
	return &source{objects: objects, bucket: bucket, key: key, known: known, now: now, lock: make(chan struct{}, 1)}
}

// get returns the template. Where it cannot be read it returns the one read last, with the error; where that is missing, or
// the template is broken, only the error.
func (s *source) get(ctx context.Context) (*template, error) {
	select {
	case s.lock <- struct{}{}:
		defer func() { <-s.lock }()
	case <-ctx.Done():
	}
	if err := ctx.Err(); err != nil { // Also where it was our turn: S3 is not asked in vain.
		return nil, fmt.Errorf("wait for template: %w", err)
	}
	now := s.now()
	if age := now.Sub(s.from); 0 <= age && age < s.good {
		return s.kept, s.err
	}
	t, err := s.read(ctx)
	var missing *types.NoSuchKey
	var broken *brokenError
	switch {
	case err == nil, errors.As(err, &missing), errors.As(err, &broken):
		s.kept, s.err, s.from, s.good = t, err, now, keepTemplate
	case ctx.Err() != nil:
		return s.kept, err // It says nothing about the template, so others shall try.
	default:
		s.err, s.from, s.good = err, now, retryTemplate
	}
	return s.kept, s.err
}

// brokenError says that the object is no template.
type brokenError struct{ err error }

func (e *brokenError) Error() string { return e.err.Error() }
func (e *brokenError) Unwrap() error { return e.err }

func (s *source) read(ctx context.Context) (*template, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	out, err := s.objects.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String(s.bucket), Key: aws.String(s.key)})
	if err != nil {
		return nil, fmt.Errorf("read template %s: %w", s.key, err)
	}
	defer func() { _ = out.Body.Close() }()
	src, err := io.ReadAll(io.LimitReader(out.Body, maxTemplate+1))
	if err != nil {
		return nil, fmt.Errorf("read template %s: %w", s.key, err)
	}
	t, err := parse(string(src), s.known)
	if err != nil {
		return nil, fmt.Errorf("template %s: %w", s.key, &brokenError{err})
	}
	return t, nil
}
