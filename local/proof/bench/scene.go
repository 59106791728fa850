package main

import (
	"encoding/pem"
	"fmt"
	"maps"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/bbws/order-lambda/local/proof/cost"
	"github.com/bbws/order-lambda/local/proof/world"
)

// first returns the first invocation of a role.
func (b *bench) first(role string) cost.Scene {
	return b.life[slices.IndexFunc(b.life, func(s cost.Scene) bool { return s.Role == role })]
}

// steps returns what each invocation asks of AWS.
func (b *bench) steps() (life []cost.Step) {
	for _, s := range b.life {
		life = append(life, s.Step)
	}
	return life
}

// A service is AWS and the Cart API, as one process sees them.
type service struct {
	*world.World
	env   []string
	items []world.Item
	stop  func()
}

// serve starts the world of a scene, behind a server for each service: they
// share no connection, as the services of AWS do not. With TLS the certificate
// is one more beside the authorities that the image trusts.
func (b *bench) serve(s cost.Scene, memory int, secure bool) (*service, error) {
	w := world.New(time.Now)
	env := w.Env(s.Role)
	maps.Copy(env, map[string]string{
		"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench", "AWS_SESSION_TOKEN": "bench",
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": fmt.Sprint(memory),
	})
	var servers []*httptest.Server
	start := func() string {
		server := httptest.NewUnstartedServer(w)
		if servers = append(servers, server); secure {
			server.StartTLS()
		} else {
			server.Start()
		}
		return server.URL
	}
	for _, name := range []string{"DYNAMODB", "S3", "SESV2", "SNS", "SQS"} {
		env["AWS_ENDPOINT_URL_"+name] = start()
	}
	if _, asksForCarts := env["CART_LAMBDA_API_URL"]; asksForCarts {
		env["CART_LAMBDA_API_URL"] = start() + "/v1.0/cart"
	}
	services := &service{World: w, items: s.Items, stop: func() {
		for _, server := range servers {
			server.Close()
		}
	}}
	if secure {
		bundle := filepath.Join(filepath.Dir(b.bare), "certificates.pem")
		if err := writeBundle(bundle, servers[0].Certificate().Raw); err != nil {
			services.stop()
			return nil, err
		}
		env["SSL_CERT_FILE"], env["SSL_CERT_DIR"] = bundle, os.DevNull
	}
	for name, value := range env {
		services.env = append(services.env, name+"="+value)
	}
	return services, nil
}

// reset makes the table as it is before the scene. The bare function has none.
func (s *service) reset() {
	if s.World != nil {
		s.Table.Reset()
		s.Table.Restore(s.items...)
	}
}

// roots are the authorities that the image trusts, where Debian has them.
const roots = "/usr/share/ca-certificates/mozilla/"

// writeBundle writes the image's authorities and one more.
func writeBundle(file string, certificate []byte) error {
	files, err := filepath.Glob(roots + "Amazon_Root_CA_?.crt")
	if err != nil {
		return err
	}
	var bundle strings.Builder
	for _, f := range append(files, roots+"Starfield_Services_Root_Certificate_Authority_-_G2.crt") {
		content, err := os.ReadFile(f)
		if err != nil {
			return err
		}
		_, _ = bundle.Write(content)
	}
	if err := pem.Encode(&bundle, &pem.Block{Type: "CERTIFICATE", Bytes: certificate}); err != nil {
		return err
	}
	return os.WriteFile(file, []byte(bundle.String()), 0o600)
}
