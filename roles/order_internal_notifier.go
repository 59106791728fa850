package roles

import (
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sesv2"

	"github.com/bbws/order-lambda/notify"
)

func orderInternalNotifierRole() Role {
	return Role{
		Name:     "order_internal_notifier",
		Settings: mailSettings(teamAddresses(), adminPortal()),
		build:    buildOrderInternalNotifier,
		calls:    mailNeighbours,
	}
}

func buildOrderInternalNotifier(s Settings, d Deps) (handler, preparation) {
	return sendMails(s, d, notify.NewInternal(sesv2.NewFromConfig(d.AWS), s3.NewFromConfig(d.AWS), notify.Settings{
		From:             s.addresses(fromAddress())[0],
		ConfigurationSet: s.get(configuration()),
		Recipients:       s.addresses(teamAddresses()),
		TemplatesBucket:  s.get(templates()),
		PortalURL:        s.get(adminPortal()),
	}, d.Now))
}
