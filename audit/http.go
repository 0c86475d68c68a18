package audit

import (
	"embed"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"impfportal/internal/web"
)

//go:embed templates i18n
var files embed.FS

// Assets are this slice's pages and texts.
var Assets = web.Bundle{Name: "audit", FS: files}

var readers = []web.Role{web.RoleAdmin, web.RoleAuditor}

const pageSize = 200

// Routes lists the pages of the record. name turns the id of a staff account
// into its name.
func Routes(pool *pgxpool.Pool, name func(c *web.Ctx, actor string) string) []web.Route {
	return []web.Route{
		{Method: http.MethodGet, Path: "/admin/audit", Roles: readers, Nav: "audit.nav", NavGroup: "web.nav.control", Handle: func(c *web.Ctx) error {
			rows, err := Recent(c.Std(), pool, c.Query("subject"), pageSize)
			if err != nil {
				return err
			}
			v := view{Subject: c.Query("subject")}
			for _, r := range rows {
				v.Rows = append(v.Rows, shown{Row: r, Who: name(c, r.Actor)})
			}
			if v.Checked, v.Broken, v.OK, err = Verify(c.Std(), pool); err != nil {
				return err
			}
			return c.Page("audit/list", v)
		}},
		{Method: http.MethodGet, Path: "/api/v1/admin/audit", Roles: readers, API: web.JSON("Newest entries of the record, and whether its chain is whole", func(c *web.Ctx, in listIn) (Record, error) {
			return list(c, pool, in)
		})},
	}
}

type view struct {
	Subject         string
	Rows            []shown
	Checked, Broken int64
	OK              bool
}

type shown struct {
	Row
	Who string
}

// BeforeText and AfterText show the stored JSON.
func (s shown) BeforeText() string { return string(s.Before) }

// AfterText is the state after the deed.
func (s shown) AfterText() string { return string(s.After) }

type listIn struct {
	Subject string `query:"subject" json:"-" doc:"only entries about this subject, 'person:<id>'"`
}

// Record is the newest entries and the state of the chain.
type Record struct {
	Entries []EntryOut `json:"entries"`
	Checked int64      `json:"checked" doc:"entries whose chain was recomputed"`
	Whole   bool       `json:"whole" doc:"false: an entry was changed or removed"`
}

// EntryOut is one entry.
type EntryOut struct {
	At      time.Time `json:"at"`
	Actor   string    `json:"actor"`
	Role    string    `json:"role"`
	Action  string    `json:"action"`
	Subject string    `json:"subject"`
	Seq     int64     `json:"seq" doc:"0 = not sealed yet"`
}

func list(c *web.Ctx, pool *pgxpool.Pool, in listIn) (Record, error) {
	out := Record{Entries: []EntryOut{}}
	rows, err := Recent(c.Std(), pool, in.Subject, pageSize)
	if err != nil {
		return out, err
	}
	for _, r := range rows {
		e := EntryOut{At: r.At, Actor: r.Actor, Role: r.Role, Action: r.Action, Subject: r.Subject}
		if r.Seq != nil {
			e.Seq = *r.Seq
		}
		out.Entries = append(out.Entries, e)
	}
	out.Checked, _, out.Whole, err = Verify(c.Std(), pool)
	return out, err
}
