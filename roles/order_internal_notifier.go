package roles

import (
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sesv2"

	"github.com/bbws/order-lambda/notify"
	"github.com/bbws/order-lambda/order"
)

func orderInternalNotifierRole() Role {
	return Role{
		Name: "order_internal_notifier",
		Settings: mailSettings(
			Setting{Name: "INTERNAL_NOTIFICATION_EMAIL", Required: true, valid: areAddresses},
			Setting{Name: "ADMIN_PORTAL_URL", Default: "https://admin.kimmyai.io", valid: isURL},
		),
		build: buildOrderInternalNotifier,
	}
}

func buildOrderInternalNotifier(s Settings, d Deps) handler {
	return sendMails(s, d, notify.NewInternal(sesv2.NewFromConfig(d.AWS), s3.NewFromConfig(d.AWS), notify.Settings{
		From:             s.addresses("SES_FROM_ADDRESS")[0],
		ConfigurationSet: s.get("SES_CONFIGURATION_SET"),
		Recipients:       s.addresses("INTERNAL_NOTIFICATION_EMAIL"),
		TemplatesBucket:  s.get("S3_EMAIL_TEMPLATES_BUCKET"),
		PortalURL:        s.get("ADMIN_PORTAL_URL"),
	}, d.Now))
}

// sendMails is the handler of a mail role.
func sendMails(s Settings, d Deps, mails mailSender) handler {
	orders := newStore(s, d)
	n := &mailer{role: s.Role(), ledger: orders, mails: mails, newID: order.NewID, now: d.Now}
	return batch(newVisibility(s, d), onRecorded(orders, n.handle))
}
