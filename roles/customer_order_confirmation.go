package roles

import (
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sesv2"

	"github.com/bbws/order-lambda/notify"
)

func customerOrderConfirmationRole() Role {
	return Role{
		Name:     "customer_order_confirmation",
		Settings: mailSettings(replyTo(), customerPortal()),
		build:    buildCustomerOrderConfirmation,
		calls:    mailNeighbours,
	}
}

func buildCustomerOrderConfirmation(s Settings, d Deps) (handler, preparation) {
	return sendMails(s, d, notify.NewCustomer(sesv2.NewFromConfig(d.AWS), s3.NewFromConfig(d.AWS), notify.Settings{
		From:             s.addresses(fromAddress())[0],
		ReplyTo:          s.addresses(replyTo())[0],
		ConfigurationSet: s.get(configuration()),
		TemplatesBucket:  s.get(templates()),
		PortalURL:        s.get(customerPortal()),
	}, d.Now))
}
