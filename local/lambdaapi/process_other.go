//go:build !linux

package lambdaapi

import "syscall"

// processAttributes gives the emulator a group of its own, so that a Ctrl-C
// reaches the parent only. If the parent dies without ending it, the emulator
// keeps running.
func processAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// host returns the loopback address.
func host() string { return "127.0.0.1" }

// isChild reports whether a process is the child of another. It cannot tell.
func isChild(_, _ int) bool { return true }
