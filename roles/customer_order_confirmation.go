package roles

import (
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sesv2"

	"github.com/bbws/order-lambda/notify"
)

func customerOrderConfirmationRole() Role {
	return Role{
		Name: "customer_order_confirmation",
		Settings: mailSettings(
			Setting{Name: "SES_REPLY_TO_ADDRESS", Default: "support@kimmyai.io", valid: isAddress},
			Setting{Name: "CUSTOMER_PORTAL_URL", Default: "https://portal.kimmyai.io", valid: isURL},
		),
		build: buildCustomerOrderConfirmation,
	}
}

func buildCustomerOrderConfirmation(s Settings, d Deps) handler {
	return sendMails(s, d, notify.NewCustomer(sesv2.NewFromConfig(d.AWS), s3.NewFromConfig(d.AWS), notify.Settings{
		From:             s.addresses("SES_FROM_ADDRESS")[0],
		ReplyTo:          s.addresses("SES_REPLY_TO_ADDRESS")[0],
		ConfigurationSet: s.get("SES_CONFIGURATION_SET"),
		TemplatesBucket:  s.get("S3_EMAIL_TEMPLATES_BUCKET"),
		PortalURL:        s.get("CUSTOMER_PORTAL_URL"),
	}, d.Now))
}
