//go:build !linux

package lambdaapi

import "syscall"

// processAttributes gives a process a group of its own, so that it can be killed with its children and a Ctrl-C reaches
// the parent only. If the parent dies without doing so, the function ends when its Runtime API does not answer.
func processAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
