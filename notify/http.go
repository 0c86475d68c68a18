package notify

import (
	"embed"
	"errors"
	"net/http"
	"time"

	"impfportal/internal/clock"
	"impfportal/internal/id"
	"impfportal/internal/web"
)

//go:embed all:templates i18n
var files embed.FS

// Assets are the slice's templates and texts.
var Assets = web.Bundle{Name: "notify", FS: files}

const pageSize = 100

// Routes lists the addresses. The mailbox exists in local runs alone.
func (s *Service) Routes() []web.Route {
	admin := []web.Role{web.RoleAdmin}
	out := []web.Route{
		{Method: http.MethodGet, Path: "/admin/messages", Roles: admin, Nav: "notify.nav", NavGroup: "web.nav.today", Handle: s.adminPage},
		{Method: http.MethodPost, Path: "/admin/messages/:id/resend", Roles: admin, Handle: s.resend},
		{Method: http.MethodGet, Path: "/api/v1/messages", Roles: admin, API: web.JSON("Messages, newest first, without whom they are for", s.apiList)},
		{Method: http.MethodPost, Path: "/api/v1/messages/:id/resend", Roles: admin, API: web.JSON("Send a failed e-mail or SMS once more", s.apiResend)},
	}
	out = append(out, web.Route{Method: http.MethodPost, Path: inboundPath, Webhook: true, Handle: s.inboundSMS})
	if s.cfg.Local {
		out = append(out, s.mailboxRoutes()...)
	}
	return out
}

type adminView struct {
	Figures  []Figures
	Rows     []Row
	Filter   Filter
	States   []web.Option
	Channels []web.Option
	Next     string
	SMSParts int
}

func (s *Service) adminPage(c *web.Ctx) error {
	v := adminView{Filter: Filter{State: c.Query("state"), Channel: c.Query("channel"), Before: c.Query("before")}}
	var err error
	if v.Figures, err = Count(c.Std(), s.cfg.Pool, clock.At(clock.Day(c.Now), 0, 0)); err != nil {
		return err
	}
	if v.Rows, err = List(c.Std(), s.cfg.Pool, v.Filter, pageSize); err != nil {
		return problem(err)
	}
	if len(v.Rows) == pageSize {
		v.Next = v.Rows[pageSize-1].ID
	}
	v.States = options(c, "state", StateQueued, StateSending, StateSent, StatePrinted, StateFailed, StateVoid)
	v.Channels = options(c, "channel", ChannelEmail, ChannelSMS, ChannelLetter, ChannelNone)
	return c.PageForm("notify/messages", web.NewForm("state", v.Filter.State, "channel", v.Filter.Channel), v)
}

func options(c *web.Ctx, group string, values ...string) []web.Option {
	out := []web.Option{{Value: "", Label: c.T("notify.all")}}
	for _, v := range values {
		out = append(out, web.Option{Value: v, Label: c.T("notify." + group + "." + v)})
	}
	return out
}

func (s *Service) resend(c *web.Ctx) error {
	if err := s.resendBy(c, c.Params("id")); err != nil {
		return err
	}
	c.Flash("notify.resend.done")
	return c.See("/admin/messages?state=failed")
}

func (s *Service) resendBy(c *web.Ctx, messageID string) error {
	if !id.Valid(messageID) {
		return web.NotFound()
	}
	return problem(s.Resend(c.Std(), messageID, c.Actor(), string(web.RoleAdmin)))
}

func problem(err error) error {
	if errors.Is(err, ErrNotFound) {
		return web.NotFound()
	}
	return err
}

type listIn struct {
	State   string `json:"-" query:"state"`
	Channel string `json:"-" query:"channel"`
	Before  string `json:"-" query:"before"`
}

type listOut struct {
	Figures  []Figures `json:"figures" doc:"of today, by way"`
	Messages []Row     `json:"messages"`
}

func (s *Service) apiList(c *web.Ctx, in listIn) (out listOut, err error) {
	if out.Figures, err = Count(c.Std(), s.cfg.Pool, clock.At(clock.Day(c.Now), 0, 0)); err != nil {
		return out, err
	}
	out.Messages, err = List(c.Std(), s.cfg.Pool, Filter(in), pageSize)
	return out, problem(err)
}

type idIn struct {
	ID string `json:"-" path:"id"`
}

func (s *Service) apiResend(c *web.Ctx, in idIn) (struct{}, error) {
	return struct{}{}, s.resendBy(c, in.ID)
}

// AdminCard shows today's messages on the administration's overview.
func (s *Service) AdminCard() web.Card {
	return web.Card{Template: "notify/_figures", Data: func(c *web.Ctx) (any, error) {
		return Count(c.Std(), s.cfg.Pool, clock.At(clock.Day(c.Now), 0, 0))
	}}
}

// mailboxRoutes are the pages where the messages of a local run land.
func (s *Service) mailboxRoutes() []web.Route {
	return []web.Route{
		{Method: http.MethodGet, Path: "/dev/mailbox", Nav: "notify.mailbox.nav", Handle: s.mailboxPage},
		{Method: http.MethodGet, Path: "/dev/mailbox.json", Handle: s.mailboxJSON},
		{Method: http.MethodGet, Path: "/dev/mailbox/:id", Handle: s.mailboxMessage},
		{Method: http.MethodGet, Path: "/dev/mailbox/:id/letter.pdf", Handle: s.mailboxLetter},
		{Method: http.MethodGet, Path: "/dev/mailbox/:id/files/:n", Handle: s.mailboxFile},
	}
}

func (s *Service) mailboxPage(c *web.Ctx) error {
	list, err := s.open(c.Std(), "", pageSize)
	if err != nil {
		return err
	}
	return c.Page("notify/mailbox", list)
}

// mailboxMail is the JSON form of a message in the mailbox, for drills and
// browser tests.
type mailboxMail struct {
	ID          string    `json:"id"`
	Kind        string    `json:"kind"`
	Channel     string    `json:"channel"`
	To          string    `json:"to"`
	Subject     string    `json:"subject"`
	Text        string    `json:"text"`
	Attachments []string  `json:"attachments"`
	At          time.Time `json:"at"`
}

func (s *Service) mailboxJSON(c *web.Ctx) error {
	list, err := s.open(c.Std(), "", 1000)
	if err != nil {
		return err
	}
	out := make([]mailboxMail, 0, len(list))
	for _, o := range list {
		m := mailboxMail{ID: o.ID, Kind: o.Kind, Channel: o.Channel, To: o.To(), Subject: o.Content.Subject, Text: o.Content.Text, At: o.CreatedAt, Attachments: []string{}}
		for _, a := range o.Content.Attachments {
			m.Attachments = append(m.Attachments, a.Name)
		}
		out = append(out, m)
	}
	return c.Ctx.JSON(out)
}

func (s *Service) mailboxOne(c *web.Ctx) (opened, error) {
	if !id.Valid(c.Params("id")) {
		return opened{}, web.NotFound()
	}
	list, err := s.open(c.Std(), c.Params("id"), 1)
	if err != nil {
		return opened{}, err
	}
	if len(list) == 0 {
		return opened{}, web.NotFound()
	}
	return list[0], nil
}

func (s *Service) mailboxMessage(c *web.Ctx) error {
	o, err := s.mailboxOne(c)
	if err != nil {
		return err
	}
	return c.Page("notify/mail", o)
}

func (s *Service) mailboxLetter(c *web.Ctx) error {
	o, err := s.mailboxOne(c)
	if err != nil {
		return err
	}
	if len(o.Content.PDF) == 0 {
		return web.NotFound()
	}
	return c.Download("application/pdf", "letter.pdf", o.Content.PDF)
}

func (s *Service) mailboxFile(c *web.Ctx) error {
	o, err := s.mailboxOne(c)
	if err != nil {
		return err
	}
	n, err := c.ParamsInt("n")
	if err != nil || n < 0 || n >= len(o.Content.Attachments) {
		return web.NotFound()
	}
	a := o.Content.Attachments[n]
	return c.Download(oneLine(a.ContentType), fileName(a.Name), a.Body)
}
