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

// host returns a loopback address that is this process's own, since all of
// 127.0.0.0/8 is this machine: what nobody listens at stays free until the
// emulator does, whatever other processes do. A process id has 22 bits.
func host() string {
	id := os.Getpid()
	return fmt.Sprintf("127.%d.%d.%d", 1+id>>14&0xff, id>>7&0x7f, 1+id&0x7f)
}

// isChild reports whether a process is the child of another: an id may have gone
// to somebody else since.
func isChild(process, parent int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", process))
	after := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:])) // the state, the parent, …
	return err == nil && len(after) > 1 && after[1] == fmt.Sprint(parent)
}
