// Package branding holds the branding that ships with the service: the local
// stack puts it into the templates bucket, and the service reads it there.
package branding

import "embed"

// Files has company.json and logo.png. In the bucket their names begin with
// "branding/".
//
//go:embed company.json logo.png
var Files embed.FS
