package notify

// Names returns the names that the templates of the customer's mails know.
func Names() (values []string, lists map[string][]string) {
	known := customer().names()
	lists = map[string][]string{}
	for _, l := range known.lists {
		lists[l.name] = l.fields
	}
	return known.valueNames(), lists
}
