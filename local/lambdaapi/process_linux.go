package lambdaapi

import "syscall"

// processAttributes gives the emulator a group of its own, so that a Ctrl-C
// reaches the parent only, and lets the kernel kill it if the parent dies
// without doing so. The function's process ends when its Runtime API is gone.
func processAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
