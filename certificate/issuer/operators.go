package issuer

import (
	"context"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/code"
	"impfportal/internal/pg"
	"impfportal/internal/web"
	"impfportal/staff"
	"impfportal/staff/passkey"
)

// setupTTL is how long an operator may take to register the first security key.
// After that an administrator makes another set-up code.
const setupTTL = 14 * 24 * time.Hour

// Enrolment is how an operator goes on: the account, and the set-up code for its
// first key. It is shown once. Empty when the issuer has accounts already.
type Enrolment struct{ Login, Code string }

// Account is an operator's account as the pages show it.
type Account struct {
	ID, Name string
	Disabled bool
	Keys     int // security keys that count
}

// accounts lists the accounts that belong to an issuer, whatever their role: none
// of them approves what concerns it.
func accounts(ctx context.Context, q pg.Querier, issuerID string) ([]Account, error) {
	rows, err := q.Query(ctx, `
		SELECT a.id::text, a.name, a.disabled_at IS NOT NULL, (SELECT count(*) FROM staff.credential k WHERE k.account_id = a.id AND k.disabled_at IS NULL)
		  FROM staff.account a WHERE a.scope = $1 ORDER BY a.name, a.id`, issuerID)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Account])
}

// enrol makes the account of whoever held the letter: it has no password, and its
// first security key comes by the set-up code.
func (s *Service) enrol(ctx context.Context, tx pgx.Tx, i Issuer, name string) (e Enrolment, err error) {
	has, err := accounts(ctx, tx, i.ID)
	if err != nil || len(has) > 0 {
		return e, err
	}
	e.Login = strings.ToLower(i.EntryID[:min(len(i.EntryID), 30)] + "-" + code.New(6))
	accountID, err := s.Staff.CreateKeyOnly(ctx, tx, staff.NewAccount{Login: e.Login, Name: name, Roles: []string{string(web.RoleIssuer)}, Scope: i.ID}, i.Ref())
	if err != nil {
		return e, err
	}
	e.Code, err = s.Keys.NewCode(ctx, tx, accountID, setupTTL, i.Ref())
	return e, err
}

// reachable tells whether somebody could log in for an issuer: an operator with a
// key, or a certificate that the registry names.
func reachable(ctx context.Context, q pg.Querier, i Issuer) (bool, error) {
	if len(i.Keys) > 0 {
		return true, nil
	}
	list, err := accounts(ctx, q, i.ID)
	for _, a := range list {
		if has, err := passkey.HasKey(ctx, q, a.ID); err != nil || has && !a.Disabled {
			return err == nil, err
		}
	}
	return false, err
}
