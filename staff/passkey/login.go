package passkey

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-redis/redis_rate/v10"
	"github.com/jackc/pgx/v5"

	"impfportal/audit"
	"impfportal/internal/code"
	"impfportal/internal/pg"
	"impfportal/internal/web"
	"impfportal/staff"
)

// triesPerNet is how often a network may begin or end a login or an enrolment by
// code, in ten minutes; a centre shares one address.
const triesPerNet = 240

func (s *Service) try(ctx context.Context, network string) error {
	key := "passkey:net:" + base64.RawURLEncoding.EncodeToString(s.cfg.Vault.MAC("passkey limit", []byte(network))[:10])
	res, err := s.limit.Allow(ctx, key, redis_rate.Limit{Rate: triesPerNet, Burst: triesPerNet, Period: 10 * time.Minute})
	if err != nil {
		return fmt.Errorf("login limit: %w", err)
	}
	if res.Allowed == 0 {
		return ErrTooMany
	}
	return nil
}

// AskLogin begins a login. With a login name the keys of that account are named,
// for keys that do not remember accounts; an unknown name gets a made-up key, the
// same each time, so that nobody learns who is there. With none, any key that
// remembers its account will do.
func (s *Service) AskLogin(ctx context.Context, login, network string) (Asked, error) {
	if err := s.try(ctx, network); err != nil {
		return Asked{}, err
	}
	var c challenge
	var allow []bytesText
	login = strings.ToLower(strings.TrimSpace(login))
	if login != "" {
		accountID, err := staff.Find(ctx, s.pool, login)
		if err != nil && !errors.Is(err, staff.ErrNotFound) {
			return Asked{}, err
		}
		if err == nil {
			if allow, err = s.allow(ctx, accountID); err != nil {
				return Asked{}, err
			}
			c.accountID = accountID
		}
		if len(allow) == 0 {
			c.accountID = ""
			allow = []bytesText{base64.RawURLEncoding.EncodeToString(s.cfg.Vault.MAC("passkey decoy", []byte(login)))}
		}
	}
	c.action, c.subject = actionLogin, DigestOf(actionLogin)
	c, err := s.ask(ctx, s.pool, c)
	return s.asked(c, allow), err
}

// Login ends a login and returns the user of the session.
func (s *Service) Login(ctx context.Context, t Touch, network string) (web.User, error) {
	if err := s.try(ctx, network); err != nil {
		return web.User{}, err
	}
	p, err := s.Verify(ctx, "", actionLogin, DigestOf(actionLogin), t)
	if err != nil {
		return web.User{}, err
	}
	return staff.User(ctx, s.pool, p.AccountID)
}

// codeLength of an enrolment code: 16 characters, of which 14 are random (70 bits).
const codeLength = 16

// NewCode makes a one-time code, in tx, with which an account without a key gets
// its first one. It is returned in groups, as a letter or a page shows it, and
// kept nowhere. Older codes of the account end.
func (s *Service) NewCode(ctx context.Context, tx pgx.Tx, accountID string, ttl time.Duration, actor string) (printed string, err error) {
	if has, err := HasKey(ctx, tx, accountID); err != nil || has {
		return "", errors.Join(err, ErrHasKey)
	}
	now := s.now()
	if _, err := tx.Exec(ctx, `UPDATE staff.enrolment SET expires_at = $2 WHERE account_id = $1 AND used_at IS NULL AND expires_at > $2`, accountID, now); err != nil {
		return "", err
	}
	stored := code.New(codeLength)
	if _, err := tx.Exec(ctx, `INSERT INTO staff.enrolment (id, account_id, code_mac, created_by, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6)`,
		newID(), accountID, s.codeMAC(stored), actor, now, now.Add(ttl)); err != nil {
		if pg.IsForeignKey(err) {
			err = staff.ErrNotFound
		}
		return "", err
	}
	return code.Print(stored), audit.Write(ctx, tx, now, audit.Entry{
		Actor: actor, Role: "admin", Action: "passkey.code", Subject: "staff:" + accountID, After: map[string]string{"until": now.Add(ttl).Format(time.RFC3339)},
	})
}

// EndHandedOut ends, in tx, the set-up codes of the accounts of a scope that
// administrators have handed out and nobody has used.
func (s *Service) EndHandedOut(ctx context.Context, tx pgx.Tx, scope string) error {
	_, err := tx.Exec(ctx, `
		UPDATE staff.enrolment e SET expires_at = $2 FROM staff.account a, staff.account m
		WHERE a.id = e.account_id AND a.scope = $1 AND e.created_by = 'staff:' || m.id AND 'admin' = ANY (m.roles) AND e.used_at IS NULL AND e.expires_at > $2`, scope, s.now())
	return err
}

func (s *Service) codeMAC(stored string) []byte {
	return s.cfg.Vault.MAC("passkey enrolment", []byte(stored))
}

// OfferWithCode begins the first key of an account that has an enrolment code.
func (s *Service) OfferWithCode(ctx context.Context, login, typed, network string) (Offered, error) {
	if err := s.try(ctx, network); err != nil {
		return Offered{}, err
	}
	stored, err := code.Parse(typed, codeLength)
	if err != nil {
		return Offered{}, ErrCode
	}
	var enrolmentID, accountID string
	err = s.pool.QueryRow(ctx, `
		SELECT e.id::text, a.id::text FROM staff.enrolment e JOIN staff.account a ON a.id = e.account_id
		WHERE e.code_mac = $1 AND a.login = $2 AND e.used_at IS NULL AND e.expires_at > $3 AND a.disabled_at IS NULL`,
		s.codeMAC(stored), strings.ToLower(strings.TrimSpace(login)), s.now()).Scan(&enrolmentID, &accountID)
	if pg.NoRows(err) {
		return Offered{}, ErrCode
	}
	if err != nil {
		return Offered{}, err
	}
	if has, err := HasKey(ctx, s.pool, accountID); err != nil || has {
		return Offered{}, errors.Join(err, ErrHasKey)
	}
	return s.offer(ctx, accountID, "code", &enrolmentID)
}
