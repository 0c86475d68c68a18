package citizen

import (
	"context"
	"crypto/hmac"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/audit"
	"impfportal/internal/id"
	"impfportal/internal/pg"
	"impfportal/internal/web"
)

// How long a new secret waits to be used: the post takes its days, and people
// do not open it at once.
const pendingTTL = 28 * 24 * time.Hour

// Login returns who a case number and a secret belong to: ErrTypo when either
// cannot be one, ErrLogin when they do not belong together. The work done is
// the same for an unknown number and a wrong secret.
//
// The first use of a new secret ends the old one, other new ones, and all
// sessions.
func (s *Service) Login(ctx context.Context, caseNumber, secret string) (Person, error) {
	number, err := ParseCaseNumber(caseNumber)
	if err != nil {
		return Person{}, err
	}
	code, err := ParseSecret(secret)
	if err != nil {
		return Person{}, err
	}
	now := s.Now()
	mac := s.secretMAC(number, code)
	var (
		personID   string
		current    []byte
		firstUsed  *time.Time
		pendingIDs []string
		pending    [][]byte
	)
	err = s.Pool.QueryRow(ctx, `
		SELECT l.person_id::text, l.secret_mac, l.first_used_at,
			coalesce(array_agg(n.id::text) FILTER (WHERE n.id IS NOT NULL), '{}'),
			coalesce(array_agg(n.secret_mac) FILTER (WHERE n.id IS NOT NULL), '{}')
		FROM citizen.login l
		LEFT JOIN citizen.login_pending n ON n.case_number = l.case_number AND n.valid_until > $2
		WHERE l.case_number = $1
		GROUP BY l.case_number`, number, now).Scan(&personID, &current, &firstUsed, &pendingIDs, &pending)
	if err != nil && !pg.NoRows(err) {
		return Person{}, wrap("login", err)
	}
	switch {
	case hmac.Equal(mac, current): // an unknown number has no bytes to be equal to
		if firstUsed == nil {
			_, err = s.Pool.Exec(ctx, `UPDATE citizen.login SET first_used_at = $2 WHERE case_number = $1 AND first_used_at IS NULL`, number, now)
		}
	case matches(pending, mac) >= 0:
		err = s.adopt(ctx, number, personID, pendingIDs[matches(pending, mac)], now)
	default:
		return Person{}, ErrLogin
	}
	if err != nil {
		return Person{}, wrap("login", err)
	}
	p, err := s.Person(ctx, s.Pool, personID)
	if errors.Is(err, ErrNotFound) {
		return Person{}, ErrLogin
	}
	return p, err
}

func matches(macs [][]byte, mac []byte) int {
	found := -1
	for i, m := range macs {
		if hmac.Equal(m, mac) {
			found = i
		}
	}
	return found
}

// adopt makes a pending secret the valid one.
func (s *Service) adopt(ctx context.Context, caseNumber, personID, pendingID string, now time.Time) error {
	return pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `
			UPDATE citizen.login l SET secret_mac = n.secret_mac, first_used_at = $3
			FROM citizen.login_pending n WHERE n.id = $2 AND l.case_number = $1 AND n.case_number = $1`, caseNumber, pendingID, now)
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 0 {
			return ErrLogin // another new secret was used in this moment
		}
		if _, err := tx.Exec(ctx, `DELETE FROM citizen.login_pending WHERE case_number = $1`, caseNumber); err != nil {
			return err
		}
		if err := web.EndSessions(ctx, tx, SessionKind, personID); err != nil {
			return err
		}
		return audit.Write(ctx, tx, now, audit.Entry{
			Actor: SessionKind + ":" + personID, Role: string(web.RoleCitizen),
			Action: "citizen.login_renewed", Subject: Subject(personID),
		})
	})
}

// NewLogin makes a new secret for a person whose case number stays, and returns
// it in printed form. The old secret stays valid until the new one is used, or
// for ever when it never is: asking for new login data locks nobody out. The
// caller hands it over (letter, message), and writes the audit entry.
func (s *Service) NewLogin(ctx context.Context, tx pgx.Tx, personID string) (secret string, err error) {
	var number string
	err = tx.QueryRow(ctx, `SELECT case_number FROM citizen.login WHERE person_id = $1`, personID).Scan(&number)
	if pg.NoRows(err) {
		return "", ErrNotFound
	}
	if err != nil {
		return "", wrap("new login", err)
	}
	code, now := newSecret(), s.Now()
	_, err = tx.Exec(ctx, `
		INSERT INTO citizen.login_pending (id, case_number, secret_mac, created_at, valid_until) VALUES ($1, $2, $3, $4, $5)`,
		id.New(), number, s.secretMAC(number, code), now, now.Add(pendingTTL))
	if err != nil {
		return "", wrap("new login", err)
	}
	return PrintCode(code), nil
}

// LoginMark changes when the secret that is valid for a person does, and says
// nothing about it: by it others know that a secret somebody showed is still the
// valid one. ErrNotFound when the person has no login data.
func (s *Service) LoginMark(ctx context.Context, q pg.Querier, personID string) ([]byte, error) {
	var mark []byte
	err := q.QueryRow(ctx, `SELECT sha256(secret_mac) FROM citizen.login WHERE person_id = $1`, personID).Scan(&mark)
	if pg.NoRows(err) {
		return nil, ErrNotFound
	}
	return mark, wrap("login mark", err)
}

// secretUnused reports whether the secret of a registration was never used: only
// then its page may still be shown.
func (s *Service) secretUnused(ctx context.Context, personID string) (bool, error) {
	var unused bool
	err := s.Pool.QueryRow(ctx, `SELECT first_used_at IS NULL FROM citizen.login WHERE person_id = $1`, personID).Scan(&unused)
	if pg.NoRows(err) {
		return false, nil
	}
	return unused, wrap("login", err)
}
