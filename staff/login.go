package staff

import (
	"context"
	"fmt"
	"strings"

	"github.com/alexedwards/argon2id"
	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"

	"impfportal/internal/pg"
	"impfportal/internal/web"
)

// Login checks password and one-time code. Every refusal is ErrLogin, but for
// ErrTooMany. network is where the caller is, for the limits.
//
// Wrong passwords count per login and network together, so nobody can lock a
// colleague out from elsewhere. Codes count per login wherever they come from,
// but only after the right password.
func (s *Service) Login(ctx context.Context, login, password, code, network string) (web.User, error) {
	login = strings.ToLower(strings.TrimSpace(login))
	pair, codes := s.limitKey("pair", login, network), s.limitKey("code", login)
	if err := s.allow(ctx, s.limitKey("net", network), triesPerNet); err != nil {
		return web.User{}, err
	}
	if err := s.allow(ctx, pair, triesPerPair); err != nil {
		return web.User{}, err
	}
	var (
		u      = web.User{Kind: "staff"}
		hash   string
		sealed []byte
		keyID  string
		roles  []string
	)
	err := s.pool.QueryRow(ctx, `
		SELECT id::text, name, password_hash, totp_sealed, key_id::text, roles, scope
		FROM staff.account WHERE login = $1 AND disabled_at IS NULL AND password_hash <> ''`, login).
		Scan(&u.ID, &u.Name, &hash, &sealed, &keyID, &roles, &u.Scope)
	known := err == nil
	if !known && !pg.NoRows(err) {
		return web.User{}, err
	}
	if !known {
		hash = s.decoy
	}
	if err := s.acquire(ctx); err != nil {
		return web.User{}, err
	}
	match, err := argon2id.ComparePasswordAndHash(password, hash)
	<-s.slots
	if err != nil {
		return web.User{}, fmt.Errorf("compare password: %w", err)
	}
	if !known || !match {
		return web.User{}, ErrLogin
	}
	if err := s.allow(ctx, codes, codesPerLogin); err != nil {
		return web.User{}, err
	}
	if err := s.useCode(ctx, u.ID, keyID, sealed, code); err != nil {
		return web.User{}, err
	}
	for _, r := range roles {
		u.Roles = append(u.Roles, web.Role(r))
	}
	// Who proved who they are begins anew.
	_ = s.limit.Reset(ctx, pair)
	_ = s.limit.Reset(ctx, codes)
	return u, nil
}

// useCode checks a one-time code and marks its time step as used.
func (s *Service) useCode(ctx context.Context, accountID, keyID string, sealed []byte, code string) error {
	k, err := s.vault.Open(ctx, s.pool, keyID)
	if err != nil {
		return err
	}
	secret, err := k.Unseal(sealedTOTP, sealed)
	if err != nil {
		return err
	}
	step := s.now().Unix() / totpPeriod
	for n := step - totpSkew; n <= step+totpSkew; n++ {
		ok, err := hotp.ValidateCustom(strings.ReplaceAll(code, " ", ""), uint64(n), string(secret), hotpOpts) //nolint:gosec // time is positive
		if err != nil || !ok {
			continue
		}
		tag, err := s.pool.Exec(ctx, `UPDATE staff.account SET totp_last = $2 WHERE id = $1 AND totp_last < $2`, accountID, n)
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 1 {
			return nil
		}
	}
	return ErrLogin
}

var hotpOpts = hotp.ValidateOpts{Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1}
