package issuer

import (
	"context"
	"net/http"
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
// first key. It is shown once.
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
// first security key comes by the set-up code. Who had access before the place changed
// has none any more: the holder of the letter says who works there.
func (s *Service) enrol(ctx context.Context, tx pgx.Tx, i Issuer, name string) (e Enrolment, err error) {
	former, err := accounts(ctx, tx, i.ID)
	if err != nil {
		return e, err
	}
	for _, a := range former {
		if a.Disabled {
			continue
		}
		if err := s.Staff.DisableIn(ctx, tx, a.ID, true, i.Ref()); err != nil {
			return e, err
		}
	}
	e.Login = strings.ToLower(i.EntryID[:min(len(i.EntryID), 30)] + "-" + code.New(6))
	accountID, err := s.Staff.CreateKeyOnly(ctx, tx, staff.NewAccount{Login: e.Login, Name: name, Roles: []string{string(web.RoleIssuer)}, Scope: i.ID}, i.Ref())
	if err != nil {
		return e, err
	}
	e.Code, err = s.Keys.NewCode(ctx, tx, accountID, setupTTL, i.Ref())
	return e, err
}

// MaySetUp tells whether an administrator may hand out a set-up code for an account: not
// for one of an issuer that is active, because whoever has the code could issue. The
// issuer's own people add others; where nobody of them is left, it is paused first, and
// goes on when two administrators have looked at the new key.
func (s *Service) MaySetUp(ctx context.Context, tx pgx.Tx, accountID string) error {
	var active bool
	err := tx.QueryRow(ctx, `
		SELECT EXISTS (SELECT FROM staff.account a JOIN certificate.issuer i ON i.id::text = a.scope WHERE a.id = $1 AND 'issuer' = ANY (a.roles) AND i.state = 'active')`,
		accountID).Scan(&active)
	if err == nil && active {
		err = web.Fail(http.StatusConflict, "issuer.error.set_up")
	}
	return err
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
