package lambdaapi

import "syscall"

// processAttributes gives a process a group of its own, so that it can be killed with its children and a Ctrl-C reaches
// the parent only, and lets the kernel kill it if the parent dies without doing so.
func processAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
