package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// processorTimes returns the processor time so far of this program and of its children, by what they are. It knows only where
// there is a /proc; processes that have ended are left out.
func processorTimes() map[string]time.Duration {
	const tick = 10 * time.Millisecond // USER_HZ is 100 on every architecture that Go runs on
	times := map[string]time.Duration{}
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range files {
		stat, err := os.ReadFile(file) //nolint:gosec // the kernel's own files
		if err != nil {
			continue // it has ended
		}
		_, rest, _ := strings.Cut(string(stat), ") ")
		f := strings.Fields(rest) // from the third field on: see proc(5)
		dir := filepath.Dir(file)
		self := filepath.Base(dir) == strconv.Itoa(os.Getpid())
		if len(f) < 13 || !self && f[1] != strconv.Itoa(os.Getpid()) {
			continue
		}
		part := "gateway, pollers and this client"
		if !self {
			arguments, _ := os.ReadFile(filepath.Join(dir, "cmdline")) //nolint:gosec // the kernel's own files
			environ, _ := os.ReadFile(filepath.Join(dir, "environ"))   //nolint:gosec // the kernel's own files
			part = partOf(string(arguments), string(environ))
		}
		user, _ := strconv.Atoi(f[11])
		system, _ := strconv.Atoi(f[12])
		times[part] += time.Duration(user+system) * tick
	}
	return times
}

// partOf returns what a process is by its arguments and its environment, each ended by a zero. The kernel's name for it would not do: Node
// changes its own.
func partOf(arguments, environ string) string {
	program, _, _ := strings.Cut(arguments, "\x00")
	switch filepath.Base(program) {
	case "java":
		return "DynamoDB Local"
	case "node":
		return "the emulator of SQS, SNS, S3 and SES"
	}
	for kv := range strings.SplitSeq(environ, "\x00") {
		if name, ok := strings.CutPrefix(kv, "ROLE="); ok {
			return name
		}
	}
	return "others"
}
