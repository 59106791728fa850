package invoice

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
)

const (
	locationScheme = "s3://"
	linkAge        = 15 * time.Minute
)

// A Linker makes short-lived https links from the locations of documents.
type Linker struct {
	presign *s3.PresignClient
	bucket  string
}

// NewLinker returns a linker for the documents in a bucket.
func NewLinker(client *s3.Client, bucket string) *Linker {
	return &Linker{presign: s3.NewPresignClient(client), bucket: bucket}
}

// Link returns a presigned address under which the document at a location
// (s3://bucket/key) can be read for 15 minutes, or until the function's own
// credentials end, if that is sooner. It makes no call, and it refuses a
// location that is not in the linker's bucket.
func (l *Linker) Link(ctx context.Context, location string) (string, error) {
	key, ok := strings.CutPrefix(location, locationScheme+l.bucket+"/")
	if !ok || key == "" {
		return "", fmt.Errorf("link document: %q is not in the orders bucket", location)
	}
	in := &s3.GetObjectInput{Bucket: &l.bucket, Key: &key}
	request, err := l.presign.PresignGetObject(ctx, in, s3.WithPresignExpires(linkAge))
	if err != nil {
		return "", fmt.Errorf("link document: %w", err)
	}
	return request.URL, nil
}
