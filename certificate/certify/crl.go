package certify

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/certificate/certify/card"
	"impfportal/internal/jobs"
	"impfportal/internal/pg"
	"impfportal/staff/alert"
)

// CRL is where the list of an authority comes from.
type CRL struct {
	Authority *card.Certificate
	Fetch     func(ctx context.Context) ([]byte, error)
}

// errOlder says that a list is older than the one that holds.
var errOlder = errors.New("certify: the list is older than ours")

// crlEvery is how often lists are looked at.
const crlEvery = 15 * time.Minute

// Jobs looks at the lists of what authorities have taken back.
func (s *Service) Jobs() []jobs.Periodic {
	if len(s.CRLs) == 0 {
		return nil
	}
	return []jobs.Periodic{{Name: "certify.crl", Every: crlEvery, Run: func(ctx context.Context, _ time.Time) error { return s.PullCRLs(ctx) }}}
}

// PullCRLs fetches every list, checks it, and lets it take effect: sessions of cards
// that were taken back end at once. A list that is refused changes nothing.
func (s *Service) PullCRLs(ctx context.Context) (err error) {
	for _, c := range s.CRLs {
		problem := ""
		raw, fetchErr := c.Fetch(ctx)
		if fetchErr != nil {
			problem = "unreachable"
		} else if fetchErr = s.takeCRL(ctx, c.Authority, raw); errors.Is(fetchErr, card.ErrCRL) {
			problem = "refused"
		} else if errors.Is(fetchErr, errOlder) {
			problem = "older"
		} else if fetchErr != nil {
			err = errors.Join(err, fetchErr)
			continue
		}
		if problem != "" {
			s.Log.ErrorContext(ctx, "revocation list", "authority", c.Authority.Subject.CommonName, "problem", problem, "err", fetchErr)
		}
		if _, storeErr := s.Pool.Exec(ctx, `
			INSERT INTO certificate.card_crl (authority, looked_at, problem) VALUES ($1, $2, $3)
			ON CONFLICT (authority) DO UPDATE SET looked_at = excluded.looked_at, problem = excluded.problem`, c.Authority.Fingerprint(), s.Now(), problem); storeErr != nil {
			err = errors.Join(err, fmt.Errorf("look at a revocation list: %w", storeErr))
		}
	}
	return err
}

// takeCRL applies a list in one transaction.
func (s *Service) takeCRL(ctx context.Context, by *card.Certificate, raw []byte) error {
	l, err := card.ParseCRL(raw, by)
	if err != nil {
		return err
	}
	authority, now := by.Fingerprint(), s.Now()
	return pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `
			INSERT INTO certificate.card_crl AS c (authority, this_update, next_update, sha256, entries, looked_at) VALUES ($1, $2, $3, $4, $5, $6)
			ON CONFLICT (authority) DO UPDATE SET this_update = excluded.this_update, next_update = excluded.next_update, sha256 = excluded.sha256, entries = excluded.entries
			WHERE c.this_update IS NULL OR c.this_update <= excluded.this_update`, authority, l.ThisUpdate, l.NextUpdate, l.Hash[:], len(l.Serials), now)
		if err != nil {
			return fmt.Errorf("store a revocation list: %w", err)
		}
		if tag.RowsAffected() == 0 {
			return errOlder
		}
		if _, err := tx.Exec(ctx, `DELETE FROM certificate.card_revoked WHERE authority = $1 AND NOT serial = ANY ($2)`, authority, l.Serials); err != nil {
			return fmt.Errorf("store a revocation list: %w", err)
		}
		for chunk := range slices.Chunk(l.Serials, 10_000) {
			if _, err := tx.Exec(ctx, `INSERT INTO certificate.card_revoked (authority, serial) SELECT $1, unnest($2::text[]) ON CONFLICT DO NOTHING`, authority, chunk); err != nil {
				return fmt.Errorf("store a revocation list: %w", err)
			}
		}
		if _, err := tx.Exec(ctx, `
			UPDATE certificate.certify_session v SET ended_at = $2 FROM certificate.card_revoked r
			 WHERE v.ended_at IS NULL AND v.authority = $1 AND r.authority = v.authority AND r.serial = v.serial`, authority, now); err != nil {
			return fmt.Errorf("end sessions: %w", err)
		}
		return nil
	})
}

// notRevoked refuses a certificate that its authority has taken back. Where a list is
// configured for the authority and is missing or past its end, nothing of it counts,
// unless it was configured that this is an alarm only.
func (s *Service) notRevoked(ctx context.Context, q pg.Querier, t card.Trust, c *card.Certificate) error {
	by := t.By(c)
	if by == nil || !slices.ContainsFunc(s.CRLs, func(l CRL) bool { return l.Authority.Fingerprint() == by.Fingerprint() }) {
		return nil
	}
	var until *time.Time
	var revoked bool
	err := q.QueryRow(ctx, `
		SELECT next_update, EXISTS (SELECT FROM certificate.card_revoked r WHERE r.authority = c.authority AND r.serial = $2) FROM certificate.card_crl c WHERE c.authority = $1`,
		by.Fingerprint(), c.Serial()).Scan(&until, &revoked)
	switch {
	case err != nil && !pg.NoRows(err):
		return fmt.Errorf("revocation list: %w", err)
	case revoked:
		return refuse(http.StatusForbidden, "certify.error.taken_back")
	case (until == nil || !s.Now().Before(*until)) && !s.CRLAlarm:
		return refuse(http.StatusServiceUnavailable, "certify.error.crl").later(crlEvery)
	}
	return nil
}

// Alerts tells administrators of lists that are missing or past their end.
func (s *Service) Alerts() alert.Source {
	return alert.Source{Name: "certify", Open: func(ctx context.Context, now time.Time) (out []alert.Event, err error) {
		for _, c := range s.CRLs {
			var until *time.Time
			var looked time.Time
			err := s.Pool.QueryRow(ctx, `SELECT next_update, looked_at FROM certificate.card_crl WHERE authority = $1`, c.Authority.Fingerprint()).Scan(&until, &looked)
			if pg.NoRows(err) {
				continue // not looked at yet
			}
			if err != nil {
				return nil, fmt.Errorf("revocation lists: %w", err)
			}
			since := looked
			if until != nil {
				since = *until
			}
			if until != nil && now.Before(*until) {
				continue
			}
			name, text := c.Authority.Subject.CommonName, "alert.crl_refuse"
			if s.CRLAlarm {
				text = "alert.crl_alarm"
			}
			out = append(out, alert.Event{Key: "crl:" + c.Authority.Fingerprint(), Since: since, Path: "/admin/alerts", Say: func(lang string) (string, string) {
				return texts.Say(lang, "certify.alert.crl", "Name", name), texts.Say(lang, "certify."+text)
			}})
		}
		return out, nil
	}}
}
