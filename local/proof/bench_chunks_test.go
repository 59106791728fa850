//go:build linux

package proof

import (
	"os"
	"testing"
	"unsafe"

	"github.com/matryer/is"
	"golang.org/x/sys/unix"
)

// BenchmarkChunks counts the chunks of a program's file that a start touches,
// until the first poll and with the first invocation, when none is in memory.
func BenchmarkChunks(b *testing.B) {
	n := newBench(b)
	for _, scene := range n.firsts() {
		n.inTurns(b, "role="+scene.Role, scene, func(b *testing.B, _, program string) {
			s, f := serve(b, scene, *vcpuFlag, true), figures{}
			for b.Loop() {
				f.chunks(b, program, s)
			}
			f.report(b)
		})
	}
}

func (f figures) chunks(tb testing.TB, program string, s *service) {
	is := is.New(tb)
	file, err := os.Open(program)
	is.NoErr(err)
	defer file.Close() //nolint:errcheck // Only read from.
	is.NoErr(file.Sync())
	is.NoErr(unix.Fadvise(int(file.Fd()), 0, 0, unix.FADV_DONTNEED)) // leaves the page cache
	p := launch(tb, program, s)
	defer p.stop()
	f.add("chunks-poll", touched(tb, file))
	p.invoke()
	f.add("chunks-first", touched(tb, file))
}

// chunkSize is how much of an image Lambda loads at once. Source: "On-demand
// Container Loading in AWS Lambda", USENIX ATC 2023.
const chunkSize = 512 << 10

// touched returns how many chunks of a file are in the page cache.
func touched(tb testing.TB, file *os.File) float64 {
	is := is.New(tb)
	info, err := file.Stat()
	is.NoErr(err)
	mapped, err := unix.Mmap(int(file.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_SHARED)
	is.NoErr(err)
	defer unix.Munmap(mapped) //nolint:errcheck // Nothing was written.
	page := os.Getpagesize()
	resident := make([]byte, (len(mapped)+page-1)/page)
	_, _, errno := unix.Syscall(unix.SYS_MINCORE,
		uintptr(unsafe.Pointer(&mapped[0])), uintptr(len(mapped)), uintptr(unsafe.Pointer(&resident[0])))
	is.Equal(errno, unix.Errno(0))
	seen := map[int]bool{}
	for i, state := range resident {
		if state&1 != 0 {
			seen[i*page/chunkSize] = true
		}
	}
	return float64(len(seen))
}

func TestChunks(t *testing.T) {
	is := is.New(t)
	n := newBench(t)
	f := figures{}
	f.chunks(t, n.bare, serve(t, n.firsts()[0], *vcpuFlag, false))
	info, err := os.Stat(n.bare)
	is.NoErr(err)
	is.True(f.median("chunks-poll") > 0)
	is.True(f.median("chunks-first") <= float64(info.Size()/chunkSize+1))
}
