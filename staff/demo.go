package staff

import (
	"context"
	"errors"
	"slices"

	"github.com/pquerna/otp/hotp"

	"impfportal/internal/pg"
	"impfportal/internal/web"
)

// DemoPassword opens every demo account of a local run, together with the
// one-time code that /dev/logins shows.
const DemoPassword = "impfen-fuer-alle"

// DemoLogin is what /dev/logins shows.
type DemoLogin struct {
	Account
	Code string
}

// SeedDemo makes the demo accounts that are missing. scopes maps a login to
// the centre or team it belongs to.
func (s *Service) SeedDemo(ctx context.Context, scopes map[string]string) error {
	hash, err := s.hash(ctx, DemoPassword) // everybody has the same
	if err != nil {
		return err
	}
	for _, n := range []NewAccount{
		{Login: "agent", Name: "Anna Agent", Roles: []string{"agent"}},
		{Login: "agent2", Name: "Bela Agent", Roles: []string{"agent"}},
		{Login: "zentrum", Name: "Zora Zentrum", Roles: []string{"site"}},
		{Login: "leitstelle", Name: "Leo Leitstelle", Roles: []string{"dispatcher"}},
		{Login: "team", Name: "Toni Team", Roles: []string{"team"}},
		{Login: "admin", Name: "Ada Admin", Roles: []string{"admin"}},
		{Login: "admin2", Name: "Emil Admin", Roles: []string{"admin"}},
		{Login: "admin3", Name: "Ida Admin", Roles: []string{"admin"}},
		{Login: "pruefung", Name: "Paula Prüfung", Roles: []string{"auditor"}},
	} {
		n.Scope = scopes[n.Login]
		if _, _, err := s.add(ctx, n, hash, "system"); err != nil && !errors.Is(err, ErrLoginTaken) {
			return err
		}
	}
	return nil
}

// demoLogins returns the accounts with a code that has not been used yet.
func (s *Service) demoLogins(ctx context.Context) ([]DemoLogin, error) {
	accounts, err := List(ctx, s.pool)
	if err != nil {
		return nil, err
	}
	var out []DemoLogin
	for _, a := range accounts {
		if slices.Contains(a.Roles, string(web.RoleIssuer)) {
			continue // logs in with a key
		}
		code, err := s.demoCode(ctx, a.ID)
		if err != nil {
			return nil, err
		}
		out = append(out, DemoLogin{a, code})
	}
	return out, nil
}

func (s *Service) demoCode(ctx context.Context, accountID string) (string, error) {
	var (
		sealed []byte
		keyID  string
		last   int64
	)
	err := s.pool.QueryRow(ctx, `SELECT totp_sealed, key_id::text, totp_last FROM staff.account WHERE id = $1`, accountID).Scan(&sealed, &keyID, &last)
	if pg.NoRows(err) {
		return "", ErrNotFound
	}
	if err != nil {
		return "", err
	}
	k, err := s.vault.Open(ctx, s.pool, keyID)
	if err != nil {
		return "", err
	}
	secret, err := k.Unseal(sealedTOTP, sealed)
	if err != nil {
		return "", err
	}
	step := max(s.now().Unix()/totpPeriod, last+1)
	return hotp.GenerateCode(string(secret), uint64(step)) //nolint:gosec // time is positive
}
