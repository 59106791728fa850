package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/bbws/order-lambda/local/stack"
	"github.com/bbws/order-lambda/notify"
	"github.com/bbws/order-lambda/order"
)

// settle is how long nothing may change before a change is taken: editors write
// a file in several steps.
const settle = 50 * time.Millisecond

// uploaded has the directories whose files the roles read from the templates
// bucket, and how their keys begin there.
var uploaded = map[string]string{
	"notify/templates/customer": "customer/",
	"notify/templates/internal": "internal/",
	"invoice/branding":          "branding/",
}

// layout makes the default templates; see package templates.
const layout = "notify/templates/layout.html"

// A developer changes the source while a stack runs.
type developer struct {
	out   io.Writer
	root  string // of the source
	stack *stack.Stack
}

// watch takes over what changes in the source until ctx is done. What is wrong
// is told, and what ran before keeps running. The data stays.
func watch(ctx context.Context, out io.Writer, root string, s *stack.Stack) error {
	d := developer{out: out, root: root, stack: s}
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return err
	}
	defer func() { _ = watcher.Close() }()
	if err := d.add(watcher, root); err != nil {
		return err
	}
	d.say("watching the source in %s", root)
	changed := map[string]bool{}
	quiet := time.NewTimer(settle)
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-watcher.Errors:
			d.say("%v: a change may have been missed", err)
		case event := <-watcher.Events:
			if event.Op == fsnotify.Chmod || strings.HasPrefix(filepath.Base(event.Name), ".") {
				continue
			}
			if err := d.add(watcher, event.Name); err != nil {
				return err
			}
			file, err := filepath.Rel(root, event.Name)
			if err != nil {
				return err
			}
			changed[filepath.ToSlash(file)] = true
			quiet.Reset(settle)
		case <-quiet.C:
			d.take(ctx, slices.Sorted(maps.Keys(changed)))
			clear(changed)
		}
	}
}

// add watches a directory and those below it that can hold source.
func (d *developer) add(watcher *fsnotify.Watcher, path string) error {
	return filepath.WalkDir(path, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // it is gone again
		}
		if err != nil || !entry.IsDir() {
			return err
		}
		made := []string{"node_modules", "bin", "out"}
		if path != d.root && (strings.HasPrefix(entry.Name(), ".") || slices.Contains(made, entry.Name())) {
			return filepath.SkipDir
		}
		return watcher.Add(path)
	})
}

// take takes changed files over.
func (d *developer) take(ctx context.Context, files []string) {
	if len(files) == 0 {
		return
	}
	start, what := time.Now(), strings.Join(files, " ")
	if slices.Contains(files, layout) {
		update := exec.CommandContext(ctx, "go", "test", "./notify/templates", "-update")
		update.Dir = d.root
		if said, err := update.CombinedOutput(); err != nil {
			d.say("%s: %s", layout, bytes.TrimSpace(said))
		}
	}
	taken := false
	for _, file := range files {
		prefix, ok := uploaded[path.Dir(file)]
		if !ok || path.Ext(file) == ".go" {
			continue
		}
		if err := d.upload(ctx, file, prefix+path.Base(file)); err != nil {
			d.say("%s: %v; the one before stays", file, err)
			continue
		}
		taken = true
	}
	if slices.ContainsFunc(files, ofFunctions) {
		_, err := stack.Build(ctx)
		if err != nil {
			d.say("%s: %v\nThe code of the functions stays as it was.", what, err)
		}
		taken = taken || err == nil
	}
	if taken {
		d.stack.Replace()
		d.say("%s: new functions after %.1f s", what, time.Since(start).Seconds())
	}
	if slices.ContainsFunc(files, ofStack) {
		d.say("%s: the local stack has this when it is started again", what)
	}
}

// ofFunctions reports whether a file may be part of the functions' binary.
func ofFunctions(file string) bool {
	return isSource(file) && !inProgram(file) || file == "go.mod" || path.Ext(file) == ".ttf"
}

// ofStack reports whether a file is part of this program.
func ofStack(file string) bool {
	return isSource(file) && inProgram(file) || file == "deploy/roles.json"
}

func isSource(file string) bool {
	return path.Ext(file) == ".go" && !strings.HasSuffix(file, "_test.go")
}

func inProgram(file string) bool {
	return strings.HasPrefix(file, "local/") || strings.HasPrefix(file, "deploy/")
}

// upload puts a file into the templates bucket, if it is one that the roles can
// use.
func (d *developer) upload(ctx context.Context, file, key string) error {
	content, err := os.ReadFile(filepath.Join(d.root, file))
	if err != nil {
		return err
	}
	if strings.HasSuffix(key, ".html") {
		err = notify.CheckTemplate(key, string(content))
	} else if strings.HasSuffix(key, ".json") {
		_, err = order.ParseSupplier(content)
	}
	if err != nil {
		return err
	}
	return d.stack.PutObject(ctx, stack.TemplatesBucket, key, content)
}

func (d *developer) say(format string, args ...any) {
	now := time.Now().Format("15:04:05.000")
	_, _ = fmt.Fprintf(d.out, "%s  %-27s  %s\n", now, "make dev", fmt.Sprintf(format, args...))
}
