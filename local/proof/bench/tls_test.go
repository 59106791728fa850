package main

import (
	"crypto/x509"
	"encoding/pem"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/matryer/is"
)

func TestWriteBundle(t *testing.T) {
	is := is.New(t)
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	file := filepath.Join(t.TempDir(), "bundle.pem")
	is.NoErr(writeBundle(file, server.Certificate().Raw))
	content, err := os.ReadFile(file)
	is.NoErr(err)
	count := 0
	for rest := content; ; count++ {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
	}
	is.Equal(count, 6) // the image's five and the server's
	roots := x509.NewCertPool()
	is.True(roots.AppendCertsFromPEM(content))
	_, err = server.Certificate().Verify(x509.VerifyOptions{Roots: roots, DNSName: "example.com"})
	is.NoErr(err)
}
