// Package branding holds the branding that ships with the service: what the
// local stack puts into the templates bucket, from where the service reads it.
package branding

import "embed"

// Files has company.json and logo.png. In the bucket their names begin with "branding/".
//
//go:embed company.json logo.png
var Files embed.FS
