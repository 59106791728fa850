package lambdaapi

import (
	"fmt"
	"os"
	"strings"
	"syscall"
)

// processAttributes gives the emulator a group of its own, so that a Ctrl-C
// reaches the parent only, and lets the kernel kill it if the parent dies
// without doing so. The function's process ends when its Runtime API is gone.
func processAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// isChild reports whether a process is the child of another: an id may have gone
// to somebody else since.
func isChild(process, parent int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", process))
	after := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:])) // the state, the parent, …
	return err == nil && len(after) > 1 && after[1] == fmt.Sprint(parent)
}
