package inventory

import (
	"regexp"
	"strings"
)

// ledgerWords are the reasons that the program itself writes into the ledger, and
// the texts that tell them to people; "" = the kind of the movement says it all.
var ledgerWords = map[string]string{
	"vial opened": "", "dose given": "", "delivery received": "",
	reportBrought: "inventory.why.report_brought",
	reportOpened:  "inventory.why.report_used",
	reportGiven:   "inventory.why.report_used",
	reportRest:    "inventory.why.report_rest",
	"demo":        "inventory.why.demo",

	"opened too long ago":         "inventory.why.too_long",
	"left over":                   "inventory.why.left_over",
	"noted anew":                  "inventory.why.noted_anew",
	"equal shares":                "inventory.why.equal",
	reportedWhy:                   "inventory.why.reported",
	"allocation plan: fixed":      "inventory.why.fixed",
	"allocation plan: population": "inventory.why.population",
	"allocation plan: hand":       "inventory.why.hand",
}

var (
	gaveOf    = regexp.MustCompile(`^the vial gave (\d+) of (\d+)$`)
	automatic = regexp.MustCompile(`^allocation of delivery [0-9a-f-]{36}$`)
	visit     = regexp.MustCompile(`^visit [0-9a-f-]{36}$`)
	shared    = regexp.MustCompile(`^delivery [0-9a-f-]{36}$`)
)

// Why tells the reason of a movement in the request's language. What people typed
// stays as it is.
func (n *names) Why(why string) string {
	if key, ok := ledgerWords[why]; ok {
		if key == "" {
			return ""
		}
		return n.c.T(key)
	}
	if m := gaveOf.FindStringSubmatch(why); m != nil {
		return n.c.T("inventory.why.gave", "Gave", m[1], "Rule", m[2])
	}
	switch {
	case Reason(why).Valid():
		return n.c.T("inventory.reason." + why)
	case strings.HasPrefix(why, "thawed on "):
		return ""
	case strings.HasPrefix(why, "delivery report "):
		return n.c.T("inventory.why.report")
	case strings.HasPrefix(why, "load for visit "):
		return n.c.T("inventory.why.load")
	case strings.HasPrefix(why, "left over from visit "):
		return n.c.T("inventory.why.back")
	case visit.MatchString(why):
		return n.c.T("inventory.why.visit")
	case automatic.MatchString(why):
		return n.c.T("inventory.why.plan_delivery")
	case shared.MatchString(why):
		return n.c.T("inventory.why.equal_delivery")
	}
	return why
}
