package roles

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/bbws/order-lambda/notify"
	"github.com/bbws/order-lambda/order"
)

// A Setting is an environment variable that a role reads at its cold start.
type Setting struct {
	Name     string
	Default  string // used if the variable is empty
	Required bool   // the cold start fails if the variable is empty
	// valid returns what is wrong with a value, or "". It is not asked about an
	// empty value.
	valid func(string) string
}

// Settings are the checked values of a role's variables.
type Settings struct {
	role   Role
	values map[string]string
}

// Role returns the name of the role that the settings are for.
func (s Settings) Role() string { return s.role.Name }

// Neighbours returns the services that the role calls, in the form that
// awsenv.Connect takes.
func (s Settings) Neighbours() []string {
	neighbours := []string{"DynamoDB"}
	if s.role.calls != nil {
		neighbours = append(neighbours, s.role.calls(s)...)
	}
	return neighbours
}

// get returns the value of a setting: that of the variable, else the default.
func (s Settings) get(setting Setting) string {
	return cmp.Or(s.values[setting.Name], setting.Default)
}

// addresses returns the e-mail addresses of a setting, as they may stand in a
// header.
func (s Settings) addresses(setting Setting) []string {
	a, _ := notify.Addresses(s.get(setting)) // Configure checked them.
	return a
}

// Configure reads ROLE and the settings of that role. Its error names the role
// and everything that is missing or malformed at once, on one line.
func Configure(getenv func(string) string) (Settings, error) {
	name := getenv("ROLE")
	all := All()
	i := slices.IndexFunc(all, func(r Role) bool { return r.Name == name })
	if i < 0 {
		names := make([]string, len(all))
		for j, r := range all {
			names[j] = r.Name
		}
		problem := "ROLE is missing"
		if name != "" {
			problem = fmt.Sprintf("ROLE %q is unknown", name)
		}
		return Settings{}, errors.New(problem + ", must be one of " + strings.Join(names, ", "))
	}
	s := Settings{role: all[i], values: map[string]string{}}
	var problems []string
	for _, setting := range s.role.Settings {
		v := strings.TrimSpace(getenv(setting.Name))
		if v == "" {
			v = setting.Default
		}
		switch {
		case v == "" && setting.Required:
			problems = append(problems, setting.Name+" is missing")
		case v != "" && setting.valid != nil:
			if problem := setting.valid(v); problem != "" {
				problems = append(problems, fmt.Sprintf("%s %q %s", setting.Name, v, problem))
			}
		}
		s.values[setting.Name] = v
	}
	// Lambda sets them; they are no settings of the operator's.
	for _, setting := range []Setting{functionVersion(), xrayDaemon()} {
		s.values[setting.Name] = getenv(setting.Name)
	}
	if len(problems) > 0 {
		return Settings{}, fmt.Errorf("role %s: %s", name, strings.Join(problems, "; "))
	}
	return s, nil
}

// The settings of the roles (section 11 of the contract).
func environment() Setting {
	return Setting{Name: "ENVIRONMENT", Required: true, valid: oneOf("dev", "sit", "prod")}
}

func logLevel() Setting {
	return Setting{Name: "LOG_LEVEL", Default: "INFO", valid: oneOf("DEBUG", "INFO", "WARN", "ERROR")}
}

func enableXRay() Setting {
	return Setting{Name: "ENABLE_XRAY", Default: "false", valid: oneOf("true", "false")}
}

func fromAddress() Setting {
	return Setting{Name: "SES_FROM_ADDRESS", Required: true, valid: isAddress}
}

func teamAddresses() Setting {
	return Setting{Name: "INTERNAL_NOTIFICATION_EMAIL", Required: true, valid: areAddresses}
}

func adminPortal() Setting {
	return Setting{Name: "ADMIN_PORTAL_URL", Default: "https://admin.kimmyai.io", valid: isURL}
}

func replyTo() Setting {
	return Setting{Name: "SES_REPLY_TO_ADDRESS", Default: "support@kimmyai.io", valid: isAddress}
}

func customerPortal() Setting {
	return Setting{Name: "CUSTOMER_PORTAL_URL", Default: "https://portal.kimmyai.io", valid: isURL}
}

func eventsTopic() Setting {
	return Setting{Name: "ORDER_EVENTS_TOPIC_ARN", Required: true, valid: isTopicARN}
}

func cartURL() Setting       { return Setting{Name: "CART_LAMBDA_API_URL", Required: true, valid: isURL} }
func taxRate() Setting       { return Setting{Name: "TAX_RATE", Default: "0.15", valid: isRate} }
func tableName() Setting     { return Setting{Name: "DYNAMODB_TABLE_NAME", Required: true} }
func queueURL() Setting      { return Setting{Name: "SQS_QUEUE_URL", Required: true, valid: isURL} }
func ordersBucket() Setting  { return Setting{Name: "S3_ORDERS_BUCKET", Required: true} }
func templates() Setting     { return Setting{Name: "S3_EMAIL_TEMPLATES_BUCKET", Required: true} }
func configuration() Setting { return Setting{Name: "SES_CONFIGURATION_SET"} }
func paymentGroup() Setting  { return Setting{Name: "PAYMENT_GROUP"} }
func allowedOrigin() Setting { return Setting{Name: "CORS_ALLOWED_ORIGIN", Default: "*"} }

// What Lambda says of the function.
func functionVersion() Setting { return Setting{Name: "AWS_LAMBDA_FUNCTION_VERSION"} }
func xrayDaemon() Setting      { return Setting{Name: "AWS_XRAY_DAEMON_ADDRESS"} }

// commonSettings are those of every role.
func commonSettings() []Setting {
	return []Setting{
		{Name: "ROLE", Required: true},
		environment(),
		{Name: "AWS_REGION", Required: true},
		logLevel(),
		enableXRay(),
		tableName(),
	}
}

func apiSettings(more ...Setting) []Setting {
	return slices.Concat(commonSettings(), more, []Setting{allowedOrigin()})
}

func consumerSettings(more ...Setting) []Setting {
	return slices.Concat(commonSettings(), []Setting{queueURL()}, more)
}

func mailSettings(more ...Setting) []Setting {
	return consumerSettings(slices.Concat([]Setting{templates(), fromAddress(), configuration()}, more)...)
}

func oneOf(values ...string) func(string) string {
	return func(v string) string {
		if !slices.Contains(values, v) {
			return "must be one of " + strings.Join(values, ", ")
		}
		return ""
	}
}

func isURL(v string) string {
	u, err := url.Parse(v)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return "must be an http or https URL"
	}
	return ""
}

func isRate(v string) string {
	if _, err := order.ParseRate(v); err != nil {
		return "must be a decimal from 0 to 1 with at most six decimals"
	}
	return ""
}

func isTopicARN(v string) string {
	if !strings.HasPrefix(v, "arn:") || !strings.Contains(v, ":sns:") {
		return "must be the ARN of an SNS topic"
	}
	return ""
}

func isAddress(v string) string {
	if a, err := notify.Addresses(v); err != nil || len(a) != 1 {
		return "must be an e-mail address, with or without a display name"
	}
	return ""
}

func areAddresses(v string) string {
	if _, err := notify.Addresses(v); err != nil {
		return "must be one or several e-mail addresses with commas between"
	}
	return ""
}
