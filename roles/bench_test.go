package roles

import (
	"io"
	"testing"
)

// BenchmarkInvoke measures each role from the event to the answer, the SDK
// included, the network left out.
func BenchmarkInvoke(b *testing.B) {
	for _, role := range All() {
		b.Run(role.Name, func(b *testing.B) {
			h := newAccount(b, role.Name).build(b, complete(role.Name), io.Discard)
			event := roleEvent(b, role.Name)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := h.Invoke(b.Context(), event); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
