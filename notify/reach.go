package notify

import (
	"strings"

	"github.com/nyaruka/phonenumbers"
)

// EmailAddress reads one bare e-mail address with a dot in its domain.
func EmailAddress(s string) (address string, ok bool) {
	address, ok = cleanEmail(strings.TrimSpace(s))
	_, domain, _ := strings.Cut(address, "@")
	return address, ok && strings.Contains(strings.Trim(domain, "."), ".")
}

// MobileNumber reads the number of a mobile phone as people here write it, and
// returns it as E.164.
func MobileNumber(s string) (number string, ok bool) {
	n, err := phonenumbers.Parse(strings.TrimSpace(s), "DE")
	if err != nil {
		return "", false
	}
	number = phonenumbers.Format(n, phonenumbers.E164)
	return number, CanText(number)
}
