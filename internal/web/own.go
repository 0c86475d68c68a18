package web

import (
	"io/fs"
	"net/http"

	"impfportal/internal/id"
	"impfportal/internal/jobs"
	"impfportal/internal/pg"
	"impfportal/web"
)

// ownBundle holds the pages that belong to no slice: errors, progress.
func ownBundle() Bundle { return Bundle{Name: "web", FS: ownFS{}} }

// ownFS shows web/templates and web/i18n as one bundle.
type ownFS struct{}

func (ownFS) Open(name string) (fs.File, error) { return web.Files.Open(name) }

func ownRoutes() []Route {
	return []Route{
		{Method: http.MethodPost, Path: "/language", CrossSite: true, Handle: setLanguage},
		{Method: http.MethodGet, Path: "/admin/progress/:id", Roles: StaffRoles, Handle: showProgress},
	}
}

// progressPage is a progress, and where who set it off came from; "" = not known.
type progressPage struct {
	jobs.ProgressRow
	Back string
}

// showProgress tells how far something long is; the page refreshes itself.
func showProgress(c *Ctx) error {
	pid := c.Params("id")
	if !id.Valid(pid) {
		return NotFound()
	}
	p, err := jobs.ProgressByID(c.Std(), c.app.pool, pid)
	if pg.NoRows(err) {
		return NotFound()
	}
	if err != nil {
		return err
	}
	return c.Page("web/progress", progressPage{p, OwnPath(c.Query("back"), "")})
}
