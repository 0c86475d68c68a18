package passkey

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"time"

	"github.com/go-redis/redis_rate/v10"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"

	"impfportal/audit"
	"impfportal/internal/clock"
	"impfportal/internal/id"
	"impfportal/internal/pg"
	"impfportal/internal/vault"
	"impfportal/internal/web"
)

// Errors of this slice.
var (
	// ErrRefused is the one answer to an assertion that does not count: a wrong
	// signature, another challenge, an unknown or disabled key, no verified user.
	ErrRefused = errors.New("passkey: refused")
	// ErrExpired says that the challenge is used, too old, or unknown.
	ErrExpired = errors.New("passkey: challenge is used or expired")
	// ErrCloned says that the key's counter went back: it is disabled now.
	ErrCloned = errors.New("passkey: key seems to be copied")
	// ErrModel says that the authenticator is of no allowed model.
	ErrModel = errors.New("passkey: model is not allowed")
	// ErrTaken says that this key is enrolled already, here or elsewhere.
	ErrTaken = errors.New("passkey: key is enrolled already")
	// ErrCode says that an enrolment code is wrong, used or expired.
	ErrCode = errors.New("passkey: code refused")
	// ErrHasKey says that the account has a key, which must vouch for a new one.
	ErrHasKey = errors.New("passkey: account has a key")
	// ErrLastKey says that the only key of an account stays.
	ErrLastKey = errors.New("passkey: the last key stays")
	// ErrNotFound says that there is no such key of this account.
	ErrNotFound = errors.New("passkey: no such key")
	// ErrTooMany says that there were too many tries from this network.
	ErrTooMany = errors.New("passkey: too many attempts")
)

// touchTTL is how long a challenge waits for its answer.
const touchTTL = 2 * time.Minute

// Config is what the slice needs.
type Config struct {
	Pool  *pgxpool.Pool
	Redis redis.UniversalClient
	Vault *vault.Vault
	Now   clock.Clock
	Log   *slog.Logger
	// Origin is the portal's public address; keys are bound to its host (RP ID).
	// In a local run it is not used: there keys are bound to "localhost", at any
	// port, because WebAuthn knows no keys for the addresses of machines.
	Origin string
	// Local lets virtual authenticators count.
	Local bool
	// Password checks an account's password and one-time code, for its first key.
	Password func(ctx context.Context, login, password, code, network string) (web.User, error)
	// MayCode tells whether an administrator may hand out a set-up code for an
	// account, as a *web.Problem when not; nil = for all.
	MayCode func(ctx context.Context, tx pgx.Tx, accountID string) error
	// Alone is told, in its transaction, what one person has decided during the first
	// set-up that needs two after it (a leaf of the log); may be nil.
	Alone func(ctx context.Context, tx pgx.Tx, kind, subject string, digest Digest, actor string) error
}

// Service keeps the keys.
type Service struct {
	cfg     Config
	pool    *pgxpool.Pool
	now     clock.Clock
	rpID    string
	limit   *redis_rate.Limiter
	propose Propose
}

const localHost = "localhost"

// New makes the service.
func New(cfg Config) (*Service, error) {
	s := &Service{cfg: cfg, pool: cfg.Pool, now: cfg.Now, rpID: localHost, limit: redis_rate.NewLimiter(cfg.Redis)}
	if s.cfg.Log == nil {
		s.cfg.Log = slog.Default()
	}
	if !cfg.Local {
		u, err := url.Parse(cfg.Origin)
		if err != nil || u.Hostname() == "" {
			return nil, errors.New("passkey: the public address has no host")
		}
		s.rpID = u.Hostname()
	}
	return s, nil
}

// origins lists the origin that client data may name: the portal's own, and in a
// local run localhost at any port.
func (s *Service) origins(claimed string) []string {
	if !s.cfg.Local {
		return []string{s.cfg.Origin}
	}
	if u, err := url.Parse(claimed); err == nil && u.Scheme == "http" && u.Hostname() == localHost {
		return []string{claimed}
	}
	return []string{"http://" + localHost}
}

// Credential is one key of an account.
type Credential struct {
	ID, AccountID string
	Name          string
	AAGUID        string
	Model         string // name of the model; "" = not on the list today
	Virtual       bool
	Attestation   string // "basic", "self", "none"
	Shown         string // "code", "password", "key": how its enrolment was vouched for
	SignCount     int64
	Transports    []string
	CreatedAt     time.Time
	LastUsedAt    *time.Time
	DisabledAt    *time.Time
	DisabledWhy   string // "removed", "revoked", "cloned"
}

const credentialColumns = `k.id::text, k.account_id::text, k.name, k.aaguid::text, coalesce(m.name, ''), coalesce(m.virtual, false), k.attestation, k.shown,
	k.sign_count, k.transports, k.created_at, k.last_used_at, k.disabled_at, coalesce(k.disabled_why, '')`

// $1 is the day.
const credentialFrom = ` FROM staff.credential k LEFT JOIN staff.key_model m
	ON m.aaguid = k.aaguid AND m.valid_from <= $1 AND (m.valid_to IS NULL OR m.valid_to >= $1) `

// Keys returns the keys of an account, disabled ones last.
func Keys(ctx context.Context, q pg.Querier, accountID string, now time.Time) ([]Credential, error) {
	rows, err := q.Query(ctx, `SELECT `+credentialColumns+credentialFrom+`WHERE k.account_id = $2 ORDER BY k.disabled_at IS NOT NULL, k.created_at`, clock.Day(now), accountID)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Credential])
}

// HasKey reports whether an account has a key that is not disabled.
func HasKey(ctx context.Context, q pg.Querier, accountID string) (has bool, err error) {
	err = q.QueryRow(ctx, `SELECT EXISTS (SELECT FROM staff.credential WHERE account_id = $1 AND disabled_at IS NULL)`, accountID).Scan(&has)
	return has, err
}

// Rename gives an own key another name.
func (s *Service) Rename(ctx context.Context, accountID, keyID, name string) error {
	tag, err := s.pool.Exec(ctx, `UPDATE staff.credential SET name = $3 WHERE id = $2 AND account_id = $1 AND disabled_at IS NULL`, accountID, keyID, name)
	if err == nil && tag.RowsAffected() == 0 {
		err = ErrNotFound
	}
	return err
}

// removeDigest binds a touch to the removal of one key.
func removeDigest(keyID string) Digest { return DigestOf("remove " + keyID) }

// AskRemove asks for the touch, of any key of the account, that removes one of them.
// ErrNotFound and ErrLastKey as of Remove.
func (s *Service) AskRemove(ctx context.Context, accountID, keyID string) (Asked, error) {
	if err := mayRemove(ctx, s.pool, accountID, keyID); err != nil {
		return Asked{}, err
	}
	return s.Ask(ctx, accountID, actionRemove, removeDigest(keyID))
}

// Remove disables an own key, by a touch for just that: a session left open takes no
// key away from anybody. The last one stays (ErrLastKey).
func (s *Service) Remove(ctx context.Context, accountID, keyID string, t Touch) error {
	p, err := s.Verify(ctx, accountID, actionRemove, removeDigest(keyID), t)
	if err != nil {
		return err
	}
	return pg.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		// The account's row keeps two removals apart.
		if _, err := tx.Exec(ctx, `SELECT FROM staff.account WHERE id = $1 FOR UPDATE`, accountID); err != nil {
			return err
		}
		if err := mayRemove(ctx, tx, accountID, keyID); err != nil {
			return err
		}
		if _, err := p.Save(ctx, tx); err != nil {
			return err
		}
		return s.disable(ctx, tx, keyID, "removed", "staff:"+accountID, p.at)
	})
}

// mayRemove tells why an account may not remove a key.
func mayRemove(ctx context.Context, q pg.Querier, accountID, keyID string) error {
	var keys int
	var own bool
	err := q.QueryRow(ctx, `SELECT count(*), coalesce(bool_or(id = $2), false) FROM staff.credential WHERE account_id = $1 AND disabled_at IS NULL`, accountID, keyID).Scan(&keys, &own)
	switch {
	case err != nil:
		return err
	case !own:
		return ErrNotFound
	case keys < 2:
		return ErrLastKey
	}
	return nil
}

// Revoke disables somebody's key, as an administrator does with a lost one; the
// account's sessions end. The last one may go: the next comes by a code.
func (s *Service) Revoke(ctx context.Context, keyID, actor string) error {
	now := s.now()
	return pg.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		var accountID string
		err := tx.QueryRow(ctx, `SELECT account_id::text FROM staff.credential WHERE id = $1 AND disabled_at IS NULL FOR UPDATE`, keyID).Scan(&accountID)
		if pg.NoRows(err) {
			return ErrNotFound
		}
		if err != nil {
			return err
		}
		if err := web.EndSessions(ctx, tx, "staff", accountID); err != nil {
			return err
		}
		return s.disable(ctx, tx, keyID, "revoked", actor, now)
	})
}

func (s *Service) disable(ctx context.Context, tx pgx.Tx, keyID, why, actor string, now time.Time) error {
	var accountID string
	err := tx.QueryRow(ctx, `UPDATE staff.credential SET disabled_at = $2, disabled_why = $3 WHERE id = $1 AND disabled_at IS NULL RETURNING account_id::text`, keyID, now, why).Scan(&accountID)
	if pg.NoRows(err) {
		return nil // somebody else was quicker
	}
	if err != nil {
		return err
	}
	return audit.Write(ctx, tx, now, audit.Entry{
		Actor: actor, Role: "", Action: "passkey." + why, Subject: "staff:" + accountID, After: map[string]string{"key": keyID},
	})
}

// cloned disables a key whose counter went back, and raises the alarm.
func (s *Service) cloned(ctx context.Context, keyID string, stored, said int64) error {
	s.cfg.Log.Error("security key disabled: its counter went back", "key", keyID, "stored", stored, "said", said)
	err := pg.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		var accountID string
		if err := tx.QueryRow(ctx, `SELECT account_id::text FROM staff.credential WHERE id = $1`, keyID).Scan(&accountID); err != nil {
			return err
		}
		// Whoever is logged in with the copy is not any more.
		if err := web.EndSessions(ctx, tx, "staff", accountID); err != nil {
			return err
		}
		return s.disable(ctx, tx, keyID, "cloned", "system", s.now())
	})
	return errors.Join(ErrCloned, err)
}

func newID() string { return id.New() }
