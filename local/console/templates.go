package console

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/bbws/order-lambda/local/preview"
	"github.com/bbws/order-lambda/notify"
	"github.com/bbws/order-lambda/order"
)

// render answers with a template as it is on disk, with a sample order and the
// branding as that is on disk.
func (c *Console) render(r *http.Request) (any, error) {
	key := r.PathValue("key")
	file := "notify/templates/" + key
	src, err := fs.ReadFile(os.DirFS(c.root), file)
	if err != nil {
		return nil, err
	}
	supplier, _, err := preview.Branding(c.branding())
	if err != nil {
		return nil, fmt.Errorf("invoice/branding: %w", err)
	}
	m, err := preview.Mail(key, string(src), supplier)
	problems := []notify.Problem{}
	var broken *notify.TemplateError
	if errors.As(err, &broken) {
		problems, err = broken.Problems, nil
	}
	return map[string]any{"file": file, "problems": problems, "subject": m.Subject, "html": m.HTML, "text": m.Text}, err
}

// branding is the branding on disk.
func (c *Console) branding() fs.FS { return os.DirFS(filepath.Join(c.root, "invoice", "branding")) }

// sample serves a sample document with the branding on disk.
func (c *Console) sample(w http.ResponseWriter, r *http.Request) {
	var pdf []byte
	supplier, logo, err := preview.Branding(c.branding())
	if err == nil {
		pdf, err = preview.Document(order.DocumentKind(r.PathValue("kind")), supplier, logo)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusUnprocessableEntity)
		return
	}
	w.Header().Set("Content-Type", "application/pdf")
	_, _ = w.Write(pdf)
}

// watch looks at what tells nobody when it changes, as long as a page is open.
func (c *Console) watch(ctx context.Context) {
	const pause = 300 * time.Millisecond
	for ; ctx.Err() == nil; time.Sleep(pause) {
		c.look(ctx)
	}
}

// look looks at the queues, and at the files of templates and branding.
func (c *Console) look(ctx context.Context) {
	queues, err := c.stack().Queues(ctx)
	saved := c.saved()
	c.model.Lock()
	defer c.model.Unlock()
	if err == nil && !slices.Equal(queues, c.model.queues) {
		c.model.queues = queues
		c.model.tell(&c.model.queuesVersion)
	}
	if saved != c.model.saved {
		c.model.saved = saved
		c.model.tell(&c.model.savedVersion)
	}
}

// saved says which files there are, and when they were saved.
func (c *Console) saved() (all string) {
	for _, pattern := range []string{"notify/templates/*/*.html", "invoice/branding/*"} {
		files, _ := filepath.Glob(filepath.Join(c.root, pattern)) // the pattern is well formed
		for _, file := range files {
			if info, err := os.Stat(file); err == nil {
				all += file + info.ModTime().Format(time.StampNano)
			}
		}
	}
	return all
}
