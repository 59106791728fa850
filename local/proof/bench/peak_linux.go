package main

import (
	"fmt"
	"os"
	"strings"
)

// peak returns the most memory that a process has had, in bytes. What the
// kernel says after its end would count the memory of the program that started
// it.
func peak(pid int) int64 {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid)) // none if it has ended
	_, line, _ := strings.Cut(string(status), "VmHWM:")
	var kilobytes int64
	_, _ = fmt.Sscanf(line, "%d kB", &kilobytes)
	return kilobytes << 10
}
