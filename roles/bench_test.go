package roles

import (
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/bbws/order-lambda/local/proof/bench/standin"
)

// BenchmarkInvoke measures each role from the event to the answer, the SDK included, the network left out.
func BenchmarkInvoke(b *testing.B) {
	golden, err := os.ReadFile("../store/testdata/order.json")
	if err != nil {
		b.Fatal(err)
	}
	for _, role := range All() {
		b.Run(role.Name, func(b *testing.B) {
			settings, err := Configure(getter(complete(role.Name)))
			if err != nil {
				b.Fatal(err)
			}
			server, err := standin.New(role.Name, golden)
			if err != nil {
				b.Fatal(err)
			}
			transport := standin.Transport{Handler: server}
			h := Build(settings, Deps{
				AWS: aws.Config{
					Region: "eu-west-1", BaseEndpoint: aws.String("http://127.0.0.1:1"), HTTPClient: transport,
					Credentials: credentials.NewStaticCredentialsProvider("id", "secret", ""),
				},
				Transport: transport, Stdout: io.Discard, Now: time.Now,
			})
			event, err := os.ReadFile(filepath.Join("testdata", role.Name+".json"))
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := h.Invoke(b.Context(), event); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
