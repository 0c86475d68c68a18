package staff

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/alexedwards/argon2id"
	"github.com/go-redis/redis_rate/v10"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/pquerna/otp/totp"
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
	// ErrLogin is the one answer to every failed login.
	ErrLogin = errors.New("staff: login refused")
	// ErrTooMany says that there were too many tries from this network, or too
	// many wrong codes after the right password.
	ErrTooMany = errors.New("staff: too many attempts")
	// ErrLoginTaken says that another account has this login.
	ErrLoginTaken = errors.New("staff: login is taken")
	// ErrNotFound says that there is no such account.
	ErrNotFound = errors.New("staff: no such account")
)

const (
	sessionTTL    = 10 * time.Hour // a long shift
	totpPeriod    = 30             // seconds, RFC 6238
	totpSkew      = 1              // steps that a clock may be wrong
	sealedTOTP    = "staff.totp"
	triesPerPair  = 10 // of one login from one network, in ten minutes
	triesPerNet   = 60 // in ten minutes; a centre shares one address
	codesPerLogin = 10 // codes after the right password, in ten minutes
	minPassword   = 12
)

// Account is one person's account.
type Account struct {
	ID, Login, Name string
	Roles           []string
	Scope           string // centre or team id; "" = all
	CreatedAt       time.Time
	DisabledAt      *time.Time
}

// OfIssuer tells whether somebody works for an issuer: such an account has no password,
// and stays disabled once it is.
func (a Account) OfIssuer() bool { return slices.Contains(a.Roles, string(web.RoleIssuer)) }

// Service keeps the accounts.
type Service struct {
	pool   *pgxpool.Pool
	vault  *vault.Vault
	now    clock.Clock
	limit  *redis_rate.Limiter
	params *argon2id.Params
	slots  chan struct{} // bounds the memory that concurrent logins take
	decoy  string        // hash that an unknown login is compared with
	scopes func(ctx context.Context) ([]web.Option, error)
	demo   bool
}

// New makes the service. scopes lists the centres and teams that an account
// can be limited to; demo offers the page with the demo logins (local runs).
func New(pool *pgxpool.Pool, v *vault.Vault, rdb redis.UniversalClient, now clock.Clock, scopes func(context.Context) ([]web.Option, error), demo bool) *Service {
	s := &Service{
		pool: pool, vault: v, now: now, limit: redis_rate.NewLimiter(rdb), scopes: scopes, demo: demo,
		params: &argon2id.Params{Memory: 19 * 1024, Iterations: 2, Parallelism: 1, SaltLength: 16, KeyLength: 32}, // OWASP's second set
		slots:  make(chan struct{}, 4),
	}
	// The hash of no password: random, of the form that a comparison takes as long for as for a real one.
	s.decoy = fmt.Sprintf("$argon2id$v=19$m=%d,t=%d,p=%d$%s$%s", s.params.Memory, s.params.Iterations, s.params.Parallelism,
		randomText(s.params.SaltLength), randomText(s.params.KeyLength))
	return s
}

// randomText is n random bytes as argon2's encoded hashes have them.
func randomText(n uint32) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return base64.RawStdEncoding.EncodeToString(b)
}

var loginPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{2,39}$`)

// NewAccount is what a new account needs.
type NewAccount struct {
	Login, Name, Password string // an issuer's account has no password
	Roles                 []string
	Scope                 string
	TOTPSecret            string // base32; "" makes one
}

// keyOnly: who works for an issuer logs in with a key and has no password.
func (n NewAccount) keyOnly() bool { return slices.Contains(n.Roles, string(web.RoleIssuer)) }

// Check returns what is wrong with it, or nil.
func (n NewAccount) Check() *web.Problem {
	p := web.Invalid()
	add := func(field, key string, args ...any) {
		p.Fields = append(p.Fields, web.FieldError{Field: field, Key: key, Args: args})
	}
	if !loginPattern.MatchString(n.Login) {
		add("login", "staff.error.login_form")
	}
	if n.Name == "" || len([]rune(n.Name)) > 100 {
		add("name", "staff.error.name")
	}
	if n.keyOnly() {
		if n.Password != "" || len(n.Roles) != 1 {
			add("roles", "staff.error.key_only")
		}
	} else if len([]rune(n.Password)) < minPassword || len(n.Password) > 200 {
		add("password", "staff.error.password", "Min", minPassword)
	}
	if len(n.Roles) == 0 {
		add("roles", "staff.error.roles")
	}
	for _, r := range n.Roles {
		if !slices.Contains(web.StaffRoles, web.Role(r)) {
			add("roles", "staff.error.roles")
		}
		if (r == string(web.RoleTeam) || r == string(web.RoleSite) || r == string(web.RoleIssuer)) && n.Scope == "" {
			add("scope", "staff.error.scope")
		}
	}
	if len(p.Fields) == 0 {
		return nil
	}
	return p
}

// Create stores an account and returns its id and the TOTP secret (base32),
// which is shown once. Nobody creates accounts of issuers here: those come out of
// the letter to the issuer, or are made by its own people.
func (s *Service) Create(ctx context.Context, n NewAccount, actor string) (accountID, secret string, err error) {
	if n.keyOnly() {
		return "", "", web.Invalid(web.FieldError{Field: "roles", Key: "staff.error.key_only"})
	}
	if p := n.Check(); p != nil {
		return "", "", p
	}
	hash, err := s.hash(ctx, n.Password)
	if err != nil {
		return "", "", err
	}
	return s.add(ctx, n, hash, actor)
}

// CreateKeyOnly stores, in tx, an account of role issuer: it has no password and
// no one-time codes, and its first key comes by a code of passkey.
func (s *Service) CreateKeyOnly(ctx context.Context, tx pgx.Tx, n NewAccount, actor string) (accountID string, err error) {
	if p := n.Check(); p != nil {
		return "", p
	}
	if !n.keyOnly() {
		return "", web.Invalid(web.FieldError{Field: "roles", Key: "staff.error.key_only"})
	}
	accountID, _, err = s.addIn(ctx, tx, n, "", actor)
	return accountID, err
}

// add stores an account whose password has been hashed.
func (s *Service) add(ctx context.Context, n NewAccount, hash, actor string) (accountID, secret string, err error) {
	err = pg.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		accountID, secret, err = s.addIn(ctx, tx, n, hash, actor)
		return err
	})
	return accountID, secret, err
}

func (s *Service) addIn(ctx context.Context, tx pgx.Tx, n NewAccount, hash, actor string) (accountID, secret string, err error) {
	secret = n.TOTPSecret
	if secret == "" {
		key, err := totp.Generate(totp.GenerateOpts{Issuer: "Impfportal", AccountName: n.Login, SecretSize: 20})
		if err != nil {
			return "", "", err
		}
		secret = key.Secret()
	}
	now := s.now()
	accountID = id.New()
	k, err := s.vault.NewKey(ctx, tx)
	if err != nil {
		return "", "", err
	}
	_, err = tx.Exec(ctx, `
		INSERT INTO staff.account (id, login, name, password_hash, totp_sealed, key_id, roles, scope, created_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
		accountID, n.Login, n.Name, hash, k.Seal(sealedTOTP, []byte(secret)), k.ID, n.Roles, n.Scope, now)
	if pg.Violates(err, "account_login") {
		return "", "", ErrLoginTaken
	}
	if err != nil {
		return "", "", err
	}
	err = audit.Write(ctx, tx, now, audit.Entry{
		Actor: actor, Role: "admin", Action: "staff.create", Subject: "staff:" + accountID,
		After: map[string]any{"login": n.Login, "roles": n.Roles, "scope": n.Scope},
	})
	return accountID, secret, err
}

// hash and compare hold a slot: each takes some 20 MB for some 30 ms.
func (s *Service) hash(ctx context.Context, password string) (string, error) {
	if err := s.acquire(ctx); err != nil {
		return "", err
	}
	defer func() { <-s.slots }()
	return argon2id.CreateHash(password, s.params)
}

func (s *Service) acquire(ctx context.Context) error {
	select {
	case s.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// limitKey names a counter without naming a person or an address.
func (s *Service) limitKey(kind string, what ...string) string {
	return "staff:" + kind + ":" + hex.EncodeToString(s.vault.MAC("staff limit "+kind, []byte(strings.Join(what, "\x00")))[:10])
}

// allow counts a try under key; ErrTooMany when there were n in ten minutes.
func (s *Service) allow(ctx context.Context, key string, n int) error {
	res, err := s.limit.Allow(ctx, key, redis_rate.Limit{Rate: n, Burst: n, Period: 10 * time.Minute})
	if err != nil {
		return fmt.Errorf("login limit: %w", err)
	}
	if res.Allowed == 0 {
		return ErrTooMany
	}
	return nil
}

// User returns the account as the user of a session; ErrNotFound when there is
// none that may log in.
func User(ctx context.Context, q pg.Querier, accountID string) (web.User, error) {
	u := web.User{Kind: "staff"}
	var roles []string
	err := q.QueryRow(ctx, `SELECT id::text, name, roles, scope FROM staff.account WHERE id = $1 AND disabled_at IS NULL`, accountID).
		Scan(&u.ID, &u.Name, &roles, &u.Scope)
	if pg.NoRows(err) {
		return web.User{}, ErrNotFound
	}
	for _, r := range roles {
		u.Roles = append(u.Roles, web.Role(r))
	}
	return u, err
}

// Find returns the id of the account with that login; ErrNotFound when there is
// none that may log in.
func Find(ctx context.Context, q pg.Querier, login string) (accountID string, err error) {
	err = q.QueryRow(ctx, `SELECT id::text FROM staff.account WHERE login = $1 AND disabled_at IS NULL`, strings.ToLower(strings.TrimSpace(login))).Scan(&accountID)
	if pg.NoRows(err) {
		err = ErrNotFound
	}
	return accountID, err
}

// List returns all accounts by login.
func List(ctx context.Context, q pg.Querier) ([]Account, error) {
	rows, err := q.Query(ctx, `SELECT id::text, login, name, roles, scope, created_at, disabled_at FROM staff.account ORDER BY login`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Account])
}

// actionRenew is what audit calls a renewal of credentials.
const actionRenew = "staff.renew"

// Since returns since when nobody else can have known an account's credentials:
// when it was created, or when somebody else renewed them last. actor is
// "staff:<id>", as in audit. It returns ErrNotFound for anybody else.
func Since(ctx context.Context, q pg.Querier, actor string) (time.Time, error) {
	accountID, ok := strings.CutPrefix(actor, "staff:")
	if !ok || !id.Valid(accountID) {
		return time.Time{}, ErrNotFound
	}
	var since time.Time
	err := q.QueryRow(ctx, `SELECT created_at FROM staff.account WHERE id = $1`, accountID).Scan(&since)
	if pg.NoRows(err) {
		return time.Time{}, ErrNotFound
	}
	if err != nil {
		return time.Time{}, err
	}
	renewed, err := audit.LastByOthers(ctx, q, actor, actionRenew)
	if renewed.After(since) {
		since = renewed
	}
	return since, err
}

// Disable ends an account and its sessions, or brings it back; one of an issuer
// does not come back (ErrNotFound). Nobody disables themselves, so that one
// administrator always remains.
func (s *Service) Disable(ctx context.Context, accountID string, disable bool, by *web.User) error {
	if by.ID == accountID {
		return web.Fail(409, "staff.error.self")
	}
	return pg.InTx(ctx, s.pool, func(tx pgx.Tx) error { return s.DisableIn(ctx, tx, accountID, disable, by.Actor()) })
}

// DisableIn is Disable in the caller's transaction, by somebody who is not the
// account itself.
func (s *Service) DisableIn(ctx context.Context, tx pgx.Tx, accountID string, disable bool, actor string) error {
	now := s.now()
	var at *time.Time
	action := "staff.enable"
	if disable {
		at, action = &now, "staff.disable"
	}
	tag, err := tx.Exec(ctx, `
		UPDATE staff.account SET disabled_at = $2 WHERE id = $1 AND (disabled_at IS NULL) = $3 AND ($3 OR NOT 'issuer' = ANY (roles))`, accountID, at, disable)
	if err != nil {
		return err
	}
	if tag.RowsAffected() == 0 {
		return ErrNotFound
	}
	if err := web.EndSessions(ctx, tx, "staff", accountID); err != nil {
		return err
	}
	return audit.Write(ctx, tx, now, audit.Entry{Actor: actor, Role: "admin", Action: action, Subject: "staff:" + accountID})
}

// Renew gives an account a new password and a new one-time secret, and ends
// its sessions; for somebody who lost the phone.
func (s *Service) Renew(ctx context.Context, accountID, password, actor string) (secret string, err error) {
	if len([]rune(password)) < minPassword || len(password) > 200 {
		return "", web.Invalid(web.FieldError{Field: "password", Key: "staff.error.password", Args: []any{"Min", minPassword}})
	}
	hash, err := s.hash(ctx, password)
	if err != nil {
		return "", err
	}
	now := s.now()
	err = pg.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		var login, keyID string
		// The id in its one form: [Since] finds the renewal by it.
		err := tx.QueryRow(ctx, `SELECT id::text, login, key_id::text FROM staff.account WHERE id = $1 AND password_hash <> '' FOR UPDATE`, accountID).Scan(&accountID, &login, &keyID)
		if pg.NoRows(err) {
			return ErrNotFound
		}
		if err != nil {
			return err
		}
		key, err := totp.Generate(totp.GenerateOpts{Issuer: "Impfportal", AccountName: login, SecretSize: 20})
		if err != nil {
			return err
		}
		secret = key.Secret()
		k, err := s.vault.Open(ctx, tx, keyID)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `UPDATE staff.account SET password_hash = $2, totp_sealed = $3, totp_last = 0 WHERE id = $1`,
			accountID, hash, k.Seal(sealedTOTP, []byte(secret))); err != nil {
			return err
		}
		if err := web.EndSessions(ctx, tx, "staff", accountID); err != nil {
			return err
		}
		return audit.Write(ctx, tx, now, audit.Entry{Actor: actor, Role: "admin", Action: actionRenew, Subject: "staff:" + accountID})
	})
	return secret, err
}
