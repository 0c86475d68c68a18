package staff

import (
	"html/template"
	"net/http"

	"impfportal/internal/web"
)

// OverviewRoutes is the administration's first page: today's figures, one card
// from each slice.
func OverviewRoutes(cards []web.Card) []web.Route {
	return []web.Route{{Method: http.MethodGet, Path: "/admin", Roles: []web.Role{web.RoleAdmin}, Nav: "staff.overview.nav", NavGroup: "web.nav.today", Handle: func(c *web.Ctx) error {
		html, err := c.Cards(cards)
		if err != nil {
			return err
		}
		return c.Page("staff/overview", overview{html})
	}}}
}

type overview struct{ Cards []template.HTML }
