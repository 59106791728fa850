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
		head, rest, _ := strings.Cut(string(stat), ") ")
		f := strings.Fields(rest) // from the third field on: see proc(5)
		_, command, _ := strings.Cut(head, "(")
		dir := filepath.Dir(file)
		self := filepath.Base(dir) == strconv.Itoa(os.Getpid())
		if len(f) < 13 || !self && f[1] != strconv.Itoa(os.Getpid()) {
			continue
		}
		part := map[string]string{"java": "DynamoDB Local", "node": "the emulator of SQS, SNS, S3 and SES"}[command]
		if self {
			part = "gateway, pollers and this client"
		} else if part == "" {
			part = role(filepath.Join(dir, "environ"))
		}
		user, _ := strconv.Atoi(f[11])
		system, _ := strconv.Atoi(f[12])
		times[part] += time.Duration(user+system) * tick
	}
	return times
}

// role returns the role of a process by its environment.
func role(file string) string {
	environ, _ := os.ReadFile(file) //nolint:gosec // the kernel's own files
	for kv := range strings.SplitSeq(string(environ), "\x00") {
		if name, ok := strings.CutPrefix(kv, "ROLE="); ok {
			return name
		}
	}
	return "others"
}
