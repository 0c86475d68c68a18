package alert

import (
	"embed"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/web"
)

//go:embed all:templates i18n
var files embed.FS

// Assets are this slice's pages and texts.
var Assets = web.Bundle{Name: "alert", FS: files}

var texts = web.LoadTexts(Assets)

func say(lang, key string, args ...any) string { return texts.Say(lang, "alert."+key, args...) }

// Routes lists this slice's addresses.
func (s *Service) Routes() []web.Route {
	admin, readers := []web.Role{web.RoleAdmin}, []web.Role{web.RoleAdmin, web.RoleAuditor}
	return []web.Route{
		{Method: http.MethodGet, Path: "/admin/alerts", Roles: readers, Nav: "alert.nav", NavGroup: "web.nav.control", Handle: func(c *web.Ctx) error { return s.page(c, web.NewForm()) }},
		{Method: http.MethodPost, Path: "/admin/alerts/address", Roles: admin, Handle: s.addressForm},
		{Method: http.MethodGet, Path: "/api/v1/admin/alerts", Roles: readers, API: web.JSON("What is wrong now, and when administrators were told", s.apiList)},
		{Method: http.MethodPut, Path: "/api/v1/admin/alerts/address", Roles: admin, API: web.JSON("Set one's own address for messages about what is wrong; empty takes it away", s.apiAddress)},
	}
}

type row struct {
	Source, Title, Text, Path string
	Since                     time.Time
	ToldAt                    *time.Time
	Told                      int
}

type reader struct {
	Name    string
	Address bool
}

type view struct {
	Open    []row
	Failed  bool // a source could not look
	Readers []reader
	Told    int // how many administrators have an address
	Admin   bool
	Has     bool // whoever asks has one
}

// openNow lists what is wrong, in the reader's language.
func (s *Service) openNow(c *web.Ctx) (rows []row, failed error, err error) {
	events, failed := s.ask(c.Std(), c.Now)
	for _, src := range s.cfg.Sources {
		noted, err := known(c.Std(), s.cfg.Pool, src.Name)
		if err != nil {
			return nil, failed, err
		}
		for _, e := range events[src.Name] {
			title, text := e.Say(c.Lang)
			st := noted[e.Key]
			rows = append(rows, row{src.Name, title, text, e.Path, e.Since, st.ToldAt, st.Told})
		}
	}
	slices.SortFunc(rows, func(a, b row) int { return b.Since.Compare(a.Since) })
	return rows, failed, nil
}

func (s *Service) readers(c *web.Ctx) ([]reader, error) {
	rows, err := s.cfg.Pool.Query(c.Std(), `
		SELECT a.name, x.account_id IS NOT NULL FROM staff.account a LEFT JOIN staff.alert_address x ON x.account_id = a.id
		 WHERE a.disabled_at IS NULL AND 'admin' = ANY (a.roles) ORDER BY a.name, a.id`)
	if err != nil {
		return nil, fmt.Errorf("who is told: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[reader])
}

func (s *Service) view(c *web.Ctx) (v view, err error) {
	var failed error
	if v.Open, failed, err = s.openNow(c); err != nil {
		return v, err
	}
	if v.Failed = failed != nil; v.Failed {
		s.cfg.Log.ErrorContext(c.Std(), "alerts", "err", failed)
	}
	v.Readers, err = s.readers(c)
	for _, r := range v.Readers {
		if r.Address {
			v.Told++
		}
	}
	return v, err
}

func (s *Service) page(c *web.Ctx, f *web.Form) error {
	v, err := s.view(c)
	if err != nil {
		return err
	}
	v.Admin = c.User.Has(web.RoleAdmin)
	email, err := s.address(c.Std(), s.cfg.Pool, c.User.ID)
	if err != nil {
		return err
	}
	if v.Has = email != ""; f.OK() {
		f.Set("email", email)
	}
	return c.PageForm("alert/list", f, v)
}

func (s *Service) addressForm(c *web.Ctx) error {
	f := c.Form()
	_, err := s.apiAddress(c, AddressIn{f.Get("email")})
	var p *web.Problem
	if errors.As(err, &p) && len(p.Fields) > 0 {
		f.Take(p)
		return s.page(c, f)
	}
	if err != nil {
		return err
	}
	c.Flash(map[bool]string{true: "alert.gone", false: "alert.set"}[f.Get("email") == ""])
	return c.See("/admin/alerts")
}

// AlertOut is something that is wrong.
type AlertOut struct {
	Source string     `json:"source"`
	Title  string     `json:"title"`
	Text   string     `json:"text"`
	Path   string     `json:"path" doc:"of the page where to look"`
	Since  time.Time  `json:"since"`
	ToldAt *time.Time `json:"told_at" doc:"when administrators were told last; null = not yet"`
	Told   int        `json:"told" doc:"how often"`
}

// ListOut lists what is wrong.
type ListOut struct {
	Alerts   []AlertOut `json:"alerts"`
	Readers  int        `json:"readers" doc:"administrators with an address; with none nobody is told"`
	Complete bool       `json:"complete" doc:"false: something could not be looked at"`
}

func (s *Service) apiList(c *web.Ctx, _ struct{}) (ListOut, error) {
	v, err := s.view(c)
	out := ListOut{Alerts: []AlertOut{}, Readers: v.Told, Complete: !v.Failed}
	for _, r := range v.Open {
		out.Alerts = append(out.Alerts, AlertOut(r))
	}
	return out, err
}

// AddressIn is an address.
type AddressIn struct {
	Email string `json:"email" maxlen:"200"`
}

func (s *Service) apiAddress(c *web.Ctx, in AddressIn) (struct{}, error) {
	err := s.SetAddress(c.Std(), c.User.ID, in.Email, c.Lang, c.Actor())
	if errors.Is(err, ErrAddress) {
		err = web.Invalid(web.FieldError{Field: "email", Key: "alert.error.email"})
	}
	return struct{}{}, err
}

// AdminCard shows on the administration's first page what is wrong, and that nobody
// would be told.
func (s *Service) AdminCard() web.Card {
	return web.Card{Template: "alert/_card", Data: func(c *web.Ctx) (any, error) {
		v, err := s.view(c)
		if err != nil || len(v.Open) == 0 && v.Told > 0 && !v.Failed {
			return nil, err
		}
		return v, nil
	}}
}
