// Package templates holds the default templates of the two mails, under their keys in the templates bucket. The Lambda
// binary does not link it: a function reads its template from S3, and its fallback is plain text.
package templates

import "embed"

// FS has internal/order_notification.html and customer/order_confirmation.html.
//
//go:embed internal/*.html customer/*.html
var FS embed.FS
