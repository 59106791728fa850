package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"iter"
	"os"
	"path"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/bbws/order-lambda/order"
	"github.com/bbws/order-lambda/store"
)

func exportCommand() command {
	return command{
		name: "export", args: "TENANT DIR", least: 2, most: 2,
		does:  "copy a tenant's orders, mails and documents to a directory",
		needs: []setting{table, documents},
		setUp: func(*flag.FlagSet) action {
			return func(ctx context.Context, o *operator, args []string) error { return o.export(ctx, args[0], args[1]) }
		},
	}
}

const (
	dirMode  = 0o700
	fileMode = 0o600
)

// export writes what there is about a tenant: a JSON object a line in three
// files, and the documents under their keys. A document that is there in its
// size is not fetched again, so an export that was cut off goes on.
func (o *operator) export(ctx context.Context, tenantID, name string) error {
	if err := os.MkdirAll(name, dirMode); err != nil { //nolint:gosec // The operator chooses the directory.
		return err
	}
	dir, err := os.OpenRoot(name)
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }()
	if err := writeLines(o, dir, "orders.ndjson", o.orders.Orders(ctx, tenantID), orderLine); err != nil {
		return err
	}
	if err := writeLines(o, dir, "mails.ndjson", o.orders.Mails(ctx, tenantID, ""), mailLine); err != nil {
		return err
	}
	legal := o.orders.LegalDocuments(ctx, tenantID, "")
	if err := writeLines(o, dir, "documents.ndjson", legal, documentLine); err != nil {
		return err
	}
	count, size := 0, int64(0)
	for x, err := range o.objects(ctx, tenantID) {
		if err != nil {
			return err
		}
		if err := o.fetch(ctx, dir, x); err != nil {
			return err
		}
		count, size = count+1, size+x.size
		o.progress.step("lines and documents")
	}
	o.out.row("file", "name", "objects", "lines", count, "bytes", size)
	return nil
}

// orderLine is an order as the API shows it, but for the addresses of its
// documents.
func orderLine(o order.Order) any {
	if !o.Recorded() {
		return o.Acceptance()
	}
	return o
}

func mailLine(m store.LedgerMail) any {
	return struct {
		OrderID   string `json:"orderId"`
		Role      string `json:"role"`
		Sequence  int    `json:"sequence"`
		State     string `json:"state"`
		MessageID string `json:"messageId,omitempty"`
		Reason    string `json:"reason,omitempty"`
	}{m.OrderID, m.Role, m.Sequence, m.State, m.MessageID, m.Reason}
}

func documentLine(d store.LegalDocument) any {
	return struct {
		OrderID    string             `json:"orderId"`
		Kind       order.DocumentKind `json:"kind"`
		Number     string             `json:"number"`
		DateIssued order.Timestamp    `json:"dateIssued"`
		Supplier   order.Supplier     `json:"supplier"`
	}{d.OrderID, d.Kind, d.Number, d.DateIssued, d.Supplier}
}

// writeLines writes a sequence to a file, an element a line.
func writeLines[T any](
	o *operator, dir *os.Root, name string, all iter.Seq2[T, error], line func(T) any,
) (err error) {
	file, err := dir.OpenFile(name, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, fileMode)
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := file.Close(); err == nil {
			err = closeErr
		}
	}()
	lines := 0
	encoder := json.NewEncoder(file)
	for v, err := range all {
		if err != nil {
			return err
		}
		if err := encoder.Encode(line(v)); err != nil {
			return err
		}
		lines++
		o.progress.step("lines and documents")
	}
	info, err := file.Stat()
	if err != nil {
		return err
	}
	o.out.row("file", "name", name, "lines", lines, "bytes", info.Size())
	return nil
}

// fetch copies an object into the directory. Whatever its key says, it cannot
// leave the directory.
func (o *operator) fetch(ctx context.Context, dir *os.Root, x object) (err error) {
	name := path.Join("objects", x.key)
	if info, err := dir.Stat(name); err == nil && info.Size() == x.size {
		return nil
	}
	bucket := o.get(documents)
	out, err := o.s3.GetObject(ctx, &s3.GetObjectInput{Bucket: &bucket, Key: &x.key})
	if err != nil {
		return fmt.Errorf("read %s: %w", x.key, err)
	}
	defer func() { _ = out.Body.Close() }()
	if err := dir.MkdirAll(path.Dir(name), dirMode); err != nil {
		return err
	}
	file, err := dir.OpenFile(name, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, fileMode)
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := file.Close(); err == nil {
			err = closeErr
		}
	}()
	_, err = io.Copy(file, out.Body)
	return err
}
