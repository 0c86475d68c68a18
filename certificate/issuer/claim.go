package issuer

import (
	"context"
	"crypto/hmac"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-redis/redis_rate/v10"
	"github.com/jackc/pgx/v5"

	"impfportal/audit"
	"impfportal/certificate/issuer/registry"
	"impfportal/internal/code"
	"impfportal/internal/id"
	"impfportal/internal/pg"
)

const (
	codeLen      = 20 // 18 random characters of 5 bits: 90 bits
	codeTTL      = 21 * 24 * time.Hour
	letterAgain  = 7 * 24 * time.Hour // sooner the post has not arrived
	lettersMonth = 3                  // to one entry in 30 days

	claimsPerNetwork = 10  // an hour
	claimsInAll      = 300 // an hour: letters cost money
	codesPerNetwork  = 20  // in ten minutes
	maxName          = 100
	maxEmail         = 200
	sealedContact    = "issuer.contact"
	macCode          = "issuer activation code"
)

// Contact is how an issuer's operator can be reached; what somebody typed.
type Contact struct {
	Email string `json:"email"`
	Name  string `json:"name"`
}

// Claim is what an applicant types: the entry's id, and contact data.
type Claim struct {
	EntryID string
	Contact Contact
	Lang    string
	Network string // where the request comes from, for limits
}

// Claim begins the way of an entry to an issuer. It returns nil for every entry
// that the registry carries, whether or not somebody has claimed it: a letter goes
// to the registry's address if one is due. Else it returns ErrUnknown (and only
// counts), ErrNoLicence, ErrRegistry or ErrTooMany.
func (s *Service) Claim(ctx context.Context, c Claim) error {
	now := s.Now()
	if err := s.allow(ctx, "claim", c.Network, claimsPerNetwork, time.Hour); err != nil {
		return err
	}
	if err := s.fresh(ctx, s.Pool, now); err != nil {
		return err
	}
	e, err := s.entry(ctx, c.EntryID)
	if errors.Is(err, ErrUnknown) {
		_, countErr := s.Pool.Exec(ctx, `INSERT INTO certificate.issuer_unknown AS u (day, n) VALUES ($1, 1) ON CONFLICT (day) DO UPDATE SET n = u.n + 1`, today(now))
		return errors.Join(ErrUnknown, countErr)
	}
	if err != nil {
		return err
	}
	if !e.ValidOn(today(now)) {
		return ErrNoLicence
	}
	if err := s.allow(ctx, "claims", "all", claimsInAll, time.Hour); err != nil {
		return err
	}
	return pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error { return s.claim(ctx, tx, e, c, now) })
}

// entry reads a listed entry, or ErrUnknown. A held one cannot be claimed.
func (s *Service) entry(ctx context.Context, typed string) (e registry.Entry, err error) {
	var to *time.Time
	err = s.Pool.QueryRow(ctx, `
		SELECT id, name, street, postcode, city, kind, licence, region, valid_from, valid_to FROM certificate.registry_entry WHERE id = $1 AND state = 'listed'`,
		registry.CleanID(typed)).Scan(&e.ID, &e.Name, &e.Street, &e.Postcode, &e.City, &e.Kind, &e.Licence, &e.Region, &e.From.Time, &to)
	if pg.NoRows(err) {
		return e, ErrUnknown
	}
	if to != nil {
		e.To.Time = *to
	}
	return e, err
}

func (s *Service) claim(ctx context.Context, tx pgx.Tx, e registry.Entry, c Claim, now time.Time) error {
	key, err := s.Vault.NewKey(ctx, tx)
	if err != nil {
		return err
	}
	sealed, err := key.SealJSON(sealedContact, c.Contact)
	if err != nil {
		return err
	}
	issuerID := id.New()
	tag, err := tx.Exec(ctx, `
		INSERT INTO certificate.issuer (id, entry_id, kind, region, state, since, key_id, contact, lang, created_at)
		VALUES ($1, $2, $3, $4, 'claimed', $5, $6, $7, $8, $5) ON CONFLICT (entry_id) WHERE state <> 'ended' DO NOTHING`,
		issuerID, e.ID, e.Kind, e.Region, now, key.ID, sealed, c.Lang)
	if err != nil {
		return fmt.Errorf("claim: %w", err)
	}
	if tag.RowsAffected() == 0 {
		if err := s.Vault.Destroy(ctx, tx, key.ID); err != nil {
			return err
		}
		return s.claimAgain(ctx, tx, e.ID, now)
	}
	if err := audit.Write(ctx, tx, now, audit.Entry{Actor: "anonymous", Action: "issuer.claimed", Subject: "issuer:" + issuerID, After: map[string]any{"entry": e.ID}}); err != nil {
		return err
	}
	return LetterWanted.Enqueue(ctx, tx, IssuerPayload{IssuerID: issuerID})
}

// claimAgain answers a claim of an entry that has one: when its letter went long
// ago, a new one goes, and the old code ends.
func (s *Service) claimAgain(ctx context.Context, tx pgx.Tx, entryID string, now time.Time) error {
	var issuerID string
	err := tx.QueryRow(ctx, `
		UPDATE certificate.issuer_code c SET void_at = $2 FROM certificate.issuer i
		 WHERE i.entry_id = $1 AND i.state = 'sent' AND c.issuer_id = i.id AND c.used_at IS NULL AND c.void_at IS NULL AND c.made_at < $3
		RETURNING i.id::text`, entryID, now, now.Add(-letterAgain)).Scan(&issuerID)
	if pg.NoRows(err) {
		return nil
	}
	if err != nil {
		return err
	}
	return LetterWanted.Enqueue(ctx, tx, IssuerPayload{IssuerID: issuerID})
}

// allow counts a try; ErrTooMany when there were n in the period. The network is
// not stored: the counter's name is a keyed hash of it.
func (s *Service) allow(ctx context.Context, kind, who string, n int, period time.Duration) error {
	key := fmt.Sprintf("issuer:%s:%x", kind, s.Vault.MAC("issuer limit "+kind, []byte(who))[:10])
	res, err := s.Limiter.Allow(ctx, key, redis_rate.Limit{Rate: n, Burst: n, Period: period})
	if err != nil {
		return fmt.Errorf("issuer limit: %w", err)
	}
	if res.Allowed == 0 {
		return ErrTooMany
	}
	return nil
}

// writeLetter makes a code and the letter that carries it, if one is due. It may
// be called more than once.
func (s *Service) writeLetter(ctx context.Context, issuerID string) error {
	now := s.Now()
	return pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		i, err := one(ctx, tx, `WHERE i.id = $1 FOR UPDATE OF i`, issuerID)
		if errors.Is(err, ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		due := i.State == Claimed || i.State == Sent || i.State == Suspended && i.Reverify
		if !due || !i.CarriedOn(today(now)) || i.EntryState != entryListed {
			return nil
		}
		var open bool
		var recent int
		if err := tx.QueryRow(ctx, `
			SELECT EXISTS (SELECT FROM certificate.issuer_code WHERE issuer_id = $1 AND used_at IS NULL AND void_at IS NULL),
			       (SELECT count(*) FROM certificate.issuer_code c JOIN certificate.issuer o ON o.id = c.issuer_id WHERE o.entry_id = $2 AND c.made_at > $3)`,
			i.ID, i.EntryID, now.AddDate(0, 0, -30)).Scan(&open, &recent); err != nil || open {
			return err
		}
		if recent >= lettersMonth {
			s.Log.Warn("no further letter to an entry this month", "issuer", i.ID)
			if i.State == Claimed {
				return s.move(ctx, tx, i, Ended, whyExpired, false, "system", now)
			}
			return nil
		}
		secret := code.New(codeLen)
		if _, err := tx.Exec(ctx, `INSERT INTO certificate.issuer_code (id, issuer_id, hash, made_at, expires_at) VALUES ($1, $2, $3, $4, $5)`,
			id.New(), i.ID, s.codeHash(i.ID, secret), now, now.Add(codeTTL)); err != nil {
			return err
		}
		if err := s.sendCode(ctx, tx, i, secret, now); err != nil {
			return err
		}
		if i.State == Claimed {
			if _, err := tx.Exec(ctx, `UPDATE certificate.issuer SET state = 'sent', since = $2 WHERE id = $1`, i.ID, now); err != nil {
				return err
			}
		}
		return audit.Write(ctx, tx, now, audit.Entry{Actor: "system", Action: "issuer.letter", Subject: i.Ref()})
	})
}

func (s *Service) codeHash(issuerID, secret string) []byte {
	return s.Vault.MAC(macCode, []byte(issuerID+"\x00"+secret))
}

func voidCode(ctx context.Context, tx pgx.Tx, issuerID string, now time.Time) error {
	_, err := tx.Exec(ctx, `UPDATE certificate.issuer_code SET void_at = $2 WHERE issuer_id = $1 AND used_at IS NULL AND void_at IS NULL`, issuerID, now)
	return err
}

// Proof is an activation code as somebody typed it off the letter. The contact
// data replaces what was typed with the claim: whoever holds the letter counts.
type Proof struct {
	EntryID, Code string
	Contact       Contact
	Lang, Network string
	Refuse        bool // "I did not ask for this": the claim ends
}

// Prove takes an activation code. Whatever is wrong is ErrCode (or ErrTooMany):
// nobody learns whether an entry has been claimed. It returns the account with
// which the operator goes on.
func (s *Service) Prove(ctx context.Context, p Proof) (e Enrolment, err error) {
	now := s.Now()
	if err := s.allow(ctx, "code", p.Network, codesPerNetwork, 10*time.Minute); err != nil {
		return e, err
	}
	secret, err := code.Parse(p.Code, codeLen)
	if err != nil {
		return e, ErrCode // the check characters tell: nothing was tried
	}
	held := false
	err = pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		i, err := one(ctx, tx, `WHERE i.entry_id = $1 AND i.state IN ('sent', 'suspended') FOR UPDATE OF i`, registry.CleanID(p.EntryID))
		if errors.Is(err, ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		if held, err = s.tryCode(ctx, tx, i, secret, now); err != nil || !held {
			return err
		}
		e, err = s.proven(ctx, tx, i, p, now)
		return err
	})
	if err == nil && !held {
		err = ErrCode
	}
	return e, err
}

// tryCode counts a try of the open code and tells whether it holds. Wrong ones do not
// end it: nobody guesses 90 bits, and ids are public, so whoever wanted to keep a place
// out would only have to type.
func (s *Service) tryCode(ctx context.Context, tx pgx.Tx, i Issuer, secret string, now time.Time) (held bool, err error) {
	var (
		codeID string
		hash   []byte
	)
	err = tx.QueryRow(ctx, `
		UPDATE certificate.issuer_code SET tries = tries + 1
		 WHERE issuer_id = $1 AND used_at IS NULL AND void_at IS NULL AND expires_at > $2 RETURNING id::text, hash`, i.ID, now).Scan(&codeID, &hash)
	if pg.NoRows(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if !hmac.Equal(hash, s.codeHash(i.ID, secret)) {
		return false, nil
	}
	_, err = tx.Exec(ctx, `UPDATE certificate.issuer_code SET used_at = $2 WHERE id = $1`, codeID, now)
	return err == nil, err
}

// proven carries out what a good code is for.
func (s *Service) proven(ctx context.Context, tx pgx.Tx, i Issuer, p Proof, now time.Time) (e Enrolment, err error) {
	if p.Refuse {
		if i.State != Sent {
			return e, nil
		}
		return e, s.move(ctx, tx, i, Ended, whyNotAsked, false, "anonymous", now)
	}
	key, err := s.Vault.Open(ctx, tx, i.keyID)
	if err != nil {
		return e, err
	}
	sealed, err := key.SealJSON(sealedContact, p.Contact)
	if err != nil {
		return e, err
	}
	next := Proven
	if i.State == Suspended {
		next = Suspended // reactivating is two administrators' affair
	}
	if _, err := tx.Exec(ctx, `
		UPDATE certificate.issuer SET state = $2, since = CASE WHEN state = $2 THEN since ELSE $3 END, reverify = false, proven_at = $3, contact = $4, lang = $5 WHERE id = $1`,
		i.ID, next, now, sealed, p.Lang); err != nil {
		return e, err
	}
	if err := audit.Write(ctx, tx, now, audit.Entry{Actor: "anonymous", Action: "issuer.proven", Subject: i.Ref()}); err != nil {
		return e, err
	}
	return s.enrol(ctx, tx, i, p.Contact.Name)
}

// contactOf unseals an issuer's contact data.
func (s *Service) contactOf(ctx context.Context, q pg.Querier, i Issuer) (c Contact, err error) {
	key, err := s.Vault.Open(ctx, q, i.keyID)
	if err != nil {
		return c, err
	}
	return c, key.UnsealJSON(sealedContact, i.contact, &c)
}

// checkContact returns the key of what is wrong with each field.
func checkContact(c Contact) map[string]string {
	wrong := map[string]string{}
	if c.Name == "" || len([]rune(c.Name)) > maxName || strings.ContainsAny(c.Name, "\r\n") {
		wrong["name"] = "issuer.error.name"
	}
	if at := strings.LastIndexByte(c.Email, '@'); at < 1 || at == len(c.Email)-1 || len(c.Email) > maxEmail || strings.ContainsAny(c.Email, " \r\n<>,;") {
		wrong["email"] = "issuer.error.email"
	}
	return wrong
}

// expire ends claims whose code nobody used in time.
func (s *Service) expire(ctx context.Context, now time.Time) error {
	return pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		list, err := collect(ctx, tx, `
			WHERE i.state = 'sent' AND EXISTS (SELECT FROM certificate.issuer_code c WHERE c.issuer_id = i.id AND c.used_at IS NULL AND c.void_at IS NULL AND c.expires_at <= $1)
			ORDER BY i.id LIMIT 100 FOR UPDATE OF i SKIP LOCKED`, now)
		if err != nil {
			return err
		}
		for _, i := range list {
			if err := voidCode(ctx, tx, i.ID, now); err != nil {
				return err
			}
			if err := s.move(ctx, tx, i, Ended, whyExpired, false, "system", now); err != nil {
				return err
			}
		}
		return nil
	})
}
