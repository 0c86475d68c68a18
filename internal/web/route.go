package web

import (
	"slices"

	"github.com/gofiber/fiber/v2"
)

// Role says what somebody may do. A route names the roles that may call it.
type Role string

// The roles. A citizen has RoleCitizen and nothing else; staff have one or
// more of the others.
const (
	RoleCitizen    Role = "citizen"
	RoleAgent      Role = "agent"      // call centre
	RoleSite       Role = "site"       // vaccination centre
	RoleDispatcher Role = "dispatcher" // mobile teams' dispatch
	RoleTeam       Role = "team"       // mobile team
	RoleIssuer     Role = "issuer"     // pharmacy, practice, centre
	RoleAdmin      Role = "admin"      // state administrator
	RoleAuditor    Role = "auditor"    // data protection officer, auditor
)

// StaffRoles lists every role but the citizen's.
var StaffRoles = []Role{RoleAgent, RoleSite, RoleDispatcher, RoleTeam, RoleIssuer, RoleAdmin, RoleAuditor}

// Route is one address and who may call it. The list of all routes is the one
// truth for guard, navigation, API description and the tests of both.
type Route struct {
	Method string
	Path   string // fiber's syntax: "/appointments/:id"
	Roles  []Role // empty = everybody
	// Gate names the group of routes ("register", "hold") that a waiting room
	// guards; "" = no waiting.
	Gate string
	// Anonymous routes answer everybody alike: who is logged in is not looked up.
	Anonymous bool
	// CrossSite routes ask for no CSRF token; where the request came from
	// (Sec-Fetch-Site, Origin) is checked instead.
	CrossSite bool
	// Webhook routes have neither; the caller's signature is the handler's business.
	Webhook bool
	Nav     string // key of the text in the navigation of its roles; "" = not there
	// NavGroup is the key of the heading above the entry in a long navigation.
	NavGroup string
	API      *Op // a JSON operation; Handle then follows from it
	Handle   func(c *Ctx) error
}

// Gates lists the groups of routes that a waiting room may guard.
func Gates(routes []Route) []string {
	var out []string
	for _, r := range routes {
		if r.Gate != "" && !slices.Contains(out, r.Gate) {
			out = append(out, r.Gate)
		}
	}
	return out
}

// User is who is logged in.
type User struct {
	Kind  string // "citizen" or "staff"
	ID    string // person id or account id
	Name  string // staff only
	Roles []Role
	Scope string // centre or team that a staff account is limited to; "" = all
}

// Has reports whether u has one of the roles. A nil user has none.
func (u *User) Has(roles ...Role) bool {
	return u != nil && slices.ContainsFunc(roles, func(r Role) bool { return slices.Contains(u.Roles, r) })
}

// Actor is u as audit names it.
func (u *User) Actor() string {
	if u == nil {
		return "anonymous"
	}
	return u.Kind + ":" + u.ID
}

func unsafeMethod(m string) bool {
	return m != fiber.MethodGet && m != fiber.MethodHead && m != fiber.MethodOptions
}
