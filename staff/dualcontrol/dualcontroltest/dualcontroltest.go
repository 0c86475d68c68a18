// Package dualcontroltest gives tests two people with keys who approve.
package dualcontroltest

import (
	"context"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"

	"impfportal/internal/clock"
	"impfportal/internal/pg"
	"impfportal/internal/vault"
	"impfportal/internal/web"
	"impfportal/staff"
	"impfportal/staff/dualcontrol"
	"impfportal/staff/passkey"
	"impfportal/staff/passkey/passkeytest"
)

// Person is an administrator with a key.
type Person struct {
	AccountID string
	Key       *passkeytest.Key
}

// User is the person as the user of a session.
func (p Person) User() web.User {
	return web.User{Kind: "staff", ID: p.AccountID, Name: "Test", Roles: []web.Role{web.RoleAdmin}}
}

// Desk is the service with what it stands on.
type Desk struct {
	*dualcontrol.Service

	Keys  *passkey.Service
	Staff *staff.Service
	Maker *passkeytest.Maker
	// Approvers are the first two; more come from Admit.
	Approvers [2]Person

	t     testing.TB
	pool  *pgxpool.Pool
	count int
}

// New makes a desk with two approvers.
func New(t testing.TB, pool *pgxpool.Pool, rdb redis.UniversalClient, now clock.Clock) *Desk {
	t.Helper()
	v := vault.ForTest()
	d := &Desk{t: t, pool: pool, Maker: passkeytest.NewMaker(t), Staff: staff.New(pool, v, rdb, now, nil, false)}
	var err error
	if d.Keys, err = passkey.New(passkey.Config{Pool: pool, Redis: rdb, Vault: v, Now: now, Local: true, Password: d.Staff.Login}); err != nil {
		t.Fatal(err)
	}
	if err := d.Keys.AllowModel(context.Background(), d.Maker.Model(clock.Day(now()).AddDate(-1, 0, 0)), "system"); err != nil {
		t.Fatal(err)
	}
	d.Service = dualcontrol.New(dualcontrol.Config{Pool: pool, Keys: d.Keys, Now: now})
	d.Approvers = [2]Person{d.Admin(), d.Admin()}
	return d
}

// Admin makes an administrator with a key. The first two of a database approve.
func (d *Desk) Admin() Person {
	d.t.Helper()
	p := Person{AccountID: d.Account("admin", "")}
	p.Key = d.Maker.Enrol(d.Keys, d.pool, p.AccountID)
	return p
}

// Account makes an account without a key.
func (d *Desk) Account(role, scope string) string {
	d.t.Helper()
	d.count++
	n := staff.NewAccount{Login: fmt.Sprintf("%s-%d", role, d.count), Name: "Test", Password: "correct horse battery", Roles: []string{role}, Scope: scope}
	var accountID string
	var err error
	if role == string(web.RoleIssuer) {
		n.Password = ""
		err = pg.InTx(context.Background(), d.pool, func(tx pgx.Tx) (err error) {
			accountID, err = d.Staff.CreateKeyOnly(context.Background(), tx, n, "system")
			return err
		})
	} else {
		accountID, _, err = d.Staff.Create(context.Background(), n, "system")
	}
	if err != nil {
		d.t.Fatal(err)
	}
	return accountID
}

// ApproveBy approves as one person.
func (d *Desk) ApproveBy(p Person, proposalID string) error {
	asked, err := d.AskTouch(context.Background(), proposalID, p.AccountID)
	if err != nil {
		return err
	}
	return d.Approve(context.Background(), proposalID, p.AccountID, p.Key.Touch(asked))
}

// ApproveByTwo approves as both approvers; the second applies the proposal.
func (d *Desk) ApproveByTwo(proposalID string) error {
	for _, p := range d.Approvers {
		if err := d.ApproveBy(p, proposalID); err != nil {
			return err
		}
	}
	return nil
}
