package main

import (
	"context"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
)

// certBundles are files that hold all authorities that the system trusts, among those where crypto/x509 looks: of Debian, of
// Amazon Linux and Fedora, of Fedora from 43.
var certBundles = []string{
	"/etc/ssl/certs/ca-certificates.crt",
	"/etc/pki/tls/certs/ca-bundle.crt",
	"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
}

// readCertsOnce keeps crypto/x509, where there is a bundle, from also reading the directories that hold the same
// certificates: it parses them all again, three times on Amazon Linux, which the first call of every process waits for.
// What the operator sets counts instead.
func readCertsOnce(bundles []string, getenv func(string) string, setenv func(name, value string) error) {
	if getenv("SSL_CERT_FILE") != "" || getenv("SSL_CERT_DIR") != "" {
		return
	}
	for _, file := range bundles {
		if info, err := os.Stat(file); err == nil && info.Size() > 0 {
			_ = setenv("SSL_CERT_DIR", os.DevNull) // It fails for names that are none.
			return
		}
	}
}

// connect opens a connection to DynamoDB, which every role calls first, so that the certificates are read and the TLS session is
// being set up while the function waits for its first event. Lambda gives a function that starts more of the processor
// than its memory buys it later.
//
// It asks for nothing, and any answer will do; if there is none, the first call connects by itself.
func connect(ctx context.Context, cfg aws.Config) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	o := dynamodb.NewFromConfig(cfg).Options()
	endpoint, err := o.EndpointResolverV2.ResolveEndpoint(ctx, dynamodb.EndpointParameters{
		Region:       &o.Region,
		Endpoint:     o.BaseEndpoint,
		UseFIPS:      aws.Bool(o.EndpointOptions.UseFIPSEndpoint == aws.FIPSEndpointStateEnabled),
		UseDualStack: aws.Bool(o.EndpointOptions.UseDualStackEndpoint == aws.DualStackEndpointStateEnabled),
	})
	if err != nil || endpoint.URI.Scheme != "https" {
		return
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, endpoint.URI.String(), http.NoBody)
	if err != nil {
		return
	}
	resp, err := cfg.HTTPClient.Do(r)
	if err != nil {
		return
	}
	_, _ = io.Copy(io.Discard, resp.Body) // Only then the connection is free.
	_ = resp.Body.Close()
}
