// Package api is the client that oapi-codegen makes from roles/openapi.yaml. It
// is never committed: the test lays it over this directory when it builds.
package api

import _ "github.com/oapi-codegen/runtime" // which the generated code needs
