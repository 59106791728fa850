//go:build linux

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// peak returns the most memory that a process has had, in bytes. What the
// kernel says after its end would count the memory of the program that started
// it.
func peak(pid int) int {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid)) // none if it has ended
	_, line, _ := strings.Cut(string(status), "VmHWM:")
	var kilobytes int
	_, _ = fmt.Sscanf(line, "%d kB", &kilobytes)
	return kilobytes << 10
}

// cpuTime returns what the threads of a process have had of the processors.
func cpuTime(pid int) (sum time.Duration) {
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	for _, file := range threads {
		text, _ := os.ReadFile(file) // none if it has ended
		first, _, _ := strings.Cut(string(text), " ")
		ns, _ := strconv.ParseInt(first, 10, 64)
		sum += time.Duration(ns)
	}
	return sum
}

// A share is a control group of Linux whose processes get a part of a
// processor, as on Lambda.
type share struct{ dir string }

// newShare makes the group, of the second version of control groups or the
// first. It fails for lack of rights.
func newShare(part float64) (*share, error) {
	const period = 20_000 // µs, as observed on Lambda
	quota := strconv.Itoa(int(min(1, part) * period))
	dir := "order-lambda-bench-" + quota
	v1, v2 := "/sys/fs/cgroup/cpu/"+dir, "/sys/fs/cgroup/"+dir
	if err := os.Mkdir(v1, 0o700); err == nil || errors.Is(err, fs.ErrExist) {
		return &share{v1}, errors.Join(
			os.WriteFile(filepath.Join(v1, "cpu.cfs_period_us"), []byte(strconv.Itoa(period)), 0o600),
			os.WriteFile(filepath.Join(v1, "cpu.cfs_quota_us"), []byte(quota), 0o600))
	}
	if err := os.Mkdir(v2, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	return &share{v2}, os.WriteFile(filepath.Join(v2, "cpu.max"), fmt.Appendf(nil, "%s %d", quota, period), 0o600)
}

// hold lets a process have no more than the share from now on.
func (s *share) hold(p *process) error {
	return os.WriteFile(filepath.Join(s.dir, "cgroup.procs"), []byte(strconv.Itoa(p.cmd.Process.Pid)), 0o600)
}

// remove ends the group; its processes must have ended.
func (s *share) remove() { _ = os.Remove(s.dir) }

// chunkSize is how much of an image Lambda loads at once. Source: "On-demand
// Container Loading in AWS Lambda", USENIX ATC 2023.
const chunkSize = 512 << 10

// forget drops a file from the page cache.
func forget(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // Only read from.
	return errors.Join(f.Sync(), unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED))
}

// touched returns how many chunks of a file are in the page cache.
func touched(file string) (chunks int, err error) {
	f, err := os.Open(file)
	if err != nil {
		return 0, err
	}
	defer f.Close() //nolint:errcheck // Only read from.
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	mapped, err := unix.Mmap(int(f.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return 0, err
	}
	defer unix.Munmap(mapped) //nolint:errcheck // Nothing was written.
	page := os.Getpagesize()
	resident := make([]byte, (len(mapped)+page-1)/page)
	_, _, errno := unix.Syscall(unix.SYS_MINCORE,
		uintptr(unsafe.Pointer(&mapped[0])), uintptr(len(mapped)), uintptr(unsafe.Pointer(&resident[0])))
	if errno != 0 {
		return 0, errno
	}
	seen := map[int]bool{}
	for i, state := range resident {
		if state&1 != 0 {
			seen[i*page/chunkSize] = true
		}
	}
	return len(seen), nil
}
