package issuer

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/code"
	"impfportal/internal/id"
	"impfportal/internal/pg"
	"impfportal/internal/web"
	"impfportal/notify"
	"impfportal/staff"
	"impfportal/staff/passkey"
)

// operatorsMost is how many people of one issuer have access at once.
const operatorsMost = 20

// actionOperators is the deed for which a session is made fresh before it changes who
// has access.
const actionOperators = "operators"

// Invite makes an account for another person of an active issuer: it has no password,
// and its first key comes by the set-up code, which is returned once. The issuer's
// contact is told, so that nobody is added unseen. ErrOperators when there are enough,
// or why the issuer may not.
func (s *Service) Invite(ctx context.Context, issuerID, name, actor string) (e Enrolment, err error) {
	now := s.Now()
	err = pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		i, err := s.Lock(ctx, tx, issuerID)
		if err != nil {
			return err
		}
		alarm, err := openAlarm(ctx, tx, i.ID)
		if err != nil {
			return err
		}
		if err := allowed(i, alarm != nil, today(now)); err != nil {
			return err
		}
		has, err := accounts(ctx, tx, i.ID)
		if err != nil {
			return err
		}
		if has = slices.DeleteFunc(has, func(a Account) bool { return a.Disabled }); len(has) >= operatorsMost {
			return ErrOperators
		}
		e.Login = strings.ToLower(i.EntryID[:min(len(i.EntryID), 30)] + "-" + code.New(6))
		accountID, err := s.Staff.CreateKeyOnly(ctx, tx, staff.NewAccount{Login: e.Login, Name: name, Roles: []string{string(web.RoleIssuer)}, Scope: i.ID}, actor)
		if err != nil {
			return err
		}
		if e.Code, err = s.Keys.NewCode(ctx, tx, accountID, setupTTL, actor); err != nil {
			return err
		}
		c, err := s.contactOf(ctx, tx, i)
		if err != nil {
			return err
		}
		return s.Notify.Send(ctx, tx, notify.Recipient{KeyID: i.keyID, Email: c.Email, Postal: postal(i), Lang: i.lang}, notify.Message{
			Kind: "issuer.operator", Subject: say(i.lang, "message.operator.subject", "Name", i.Name),
			Text: say(i.lang, "message.operator.text", "Name", i.Name, "Since", web.FormatDateTime(i.lang, now), "URL", s.BaseURL+"/issuer/operators", "Phone", s.Hotline),
		})
	})
	return e, err
}

type operatorsPage struct {
	Issuer    Issuer
	Accounts  []Account
	Self      string
	Fresh     bool
	May       bool
	Elsewhere string
	Made      Enrolment
}

func (s *Service) operatorsPage(c *web.Ctx) error {
	if !id.Valid(c.User.Scope) {
		return c.Page("issuer/nowhere", nil)
	}
	return s.showOperators(c, web.NewForm(), Enrolment{})
}

func (s *Service) showOperators(c *web.Ctx, f *web.Form, made Enrolment) error {
	i, err := s.mine(c)
	if err != nil {
		return err
	}
	p := operatorsPage{Issuer: i, Self: c.User.ID, Made: made, Elsewhere: s.Keys.Elsewhere(c)}
	if p.Accounts, err = accounts(c.Std(), s.Pool, i.ID); err != nil {
		return err
	}
	if p.May, err = s.May(c.Std(), s.Pool, i, c.Now); err != nil {
		return err
	}
	if _, _, p.Fresh, err = passkey.FreshUntil(c.Std(), s.Pool, c, actionOperators); err != nil {
		return err
	}
	c.Set("Cache-Control", "no-store")
	return c.PageForm("issuer/operators", f, p)
}

func (s *Service) inviteForm(c *web.Ctx) error {
	f := c.Form()
	made, err := s.apiInvite(c, InviteIn{f.Get("name")})
	var p *web.Problem
	switch {
	case errors.As(err, &p) && len(p.Fields) > 0:
		f.Take(p)
	case errors.As(err, &p) && p.Status == http.StatusConflict:
		f.Fail("name", p.Key, p.Args...)
	case err != nil:
		return err
	}
	if !f.OK() {
		return s.showOperators(c, f, Enrolment{})
	}
	return s.showOperators(c, web.NewForm(), Enrolment(made))
}

// endOperator ends another person's access to the same issuer. The keys stay stored and
// open nothing any more.
func (s *Service) endOperator(c *web.Ctx) error {
	if _, err := s.apiEndOperator(c, IDIn{c.Params("id")}); err != nil {
		return err
	}
	c.Flash("issuer.operators.ended")
	return c.See("/issuer/operators")
}

// takeBack is the form of a receipt's row.
func (s *Service) takeBack(c *web.Ctx) error {
	if _, err := s.apiTakeBack(c, IDIn{c.Params("id")}); err != nil {
		return err
	}
	c.Flash("issuer.receipt.back")
	return c.See("/issuer")
}
