package passkey

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/pg"
	"impfportal/internal/web"
)

// FreshFor is how long a session may do what it has touched a key for.
const FreshFor = 15 * time.Minute

// freshDigest binds a fresh touch to one session: another browser of the same
// account touches for itself.
func freshDigest(session []byte) Digest { return DigestOf("session " + string(session)) }

// AskFresh asks for the touch that makes a session fresh for a deed ("issuing").
func (s *Service) AskFresh(ctx context.Context, c *web.Ctx, action string) (Asked, error) {
	return s.Ask(ctx, c.User.ID, action, freshDigest(c.SessionHash()))
}

// Refresh makes the session of c fresh for a deed, by a touch of a key of its
// account, for FreshFor.
func (s *Service) Refresh(ctx context.Context, c *web.Ctx, action string, t Touch) (until time.Time, err error) {
	p, err := s.Verify(ctx, c.User.ID, action, freshDigest(c.SessionHash()), t)
	if err != nil {
		return until, err
	}
	until = p.at.Add(FreshFor)
	err = pg.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		touchID, err := p.Save(ctx, tx)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `
			INSERT INTO staff.fresh (session_hash, action, touch_id, until_at) VALUES ($1, $2, $3, $4)
			ON CONFLICT (session_hash, action) DO UPDATE SET touch_id = excluded.touch_id, until_at = excluded.until_at`,
			c.SessionHash(), action, touchID, until)
		return err
	})
	return until, err
}

// FreshUntil returns until when the session of c is fresh for a deed; ok is false
// when it is not, or when the key of its touch has been disabled since.
func FreshUntil(ctx context.Context, q pg.Querier, c *web.Ctx, action string) (until time.Time, touchID string, ok bool, err error) {
	err = q.QueryRow(ctx, `
		SELECT f.until_at, f.touch_id::text FROM staff.fresh f
		JOIN staff.touch t ON t.id = f.touch_id
		JOIN staff.credential k ON k.id = t.credential_id AND k.disabled_at IS NULL
		JOIN staff.account a ON a.id = t.account_id AND a.disabled_at IS NULL
		WHERE f.session_hash = $1 AND f.action = $2 AND f.until_at > $3 AND t.account_id = $4`, c.SessionHash(), action, c.Now, c.User.ID).Scan(&until, &touchID)
	if pg.NoRows(err) {
		return until, "", false, nil
	}
	return until, touchID, err == nil, err
}

// Fresh returns a Problem (403, passkey.error.stale) unless the session of c is
// fresh for a deed. It is what a page calls before it does what needs a touch; the
// problem leads to the page where the key is touched, and from there back.
func (s *Service) Fresh(ctx context.Context, c *web.Ctx, action string) error {
	_, _, ok, err := FreshUntil(ctx, s.pool, c, action)
	if err != nil || ok {
		return err
	}
	p := web.Fail(http.StatusForbidden, "passkey.error.stale")
	p.Link, p.LinkKey = "/staff/fresh/"+action+"?to="+url.QueryEscape(c.OriginalURL()), "passkey.fresh.go"
	return p
}
