// Package templates holds the default templates of the mails, under their keys
// in the templates bucket. They are made from layout.html by
// go test ./notify/templates -update. The Lambda binary does not link them: a
// function reads its templates from S3, and its fallback is plain text.
package templates

import "embed"

// FS has internal/order_notification.html, internal/order_update.html,
// customer/order_confirmation.html, customer/order_paid.html and so on.
//
//go:embed internal/*.html customer/*.html
var FS embed.FS
