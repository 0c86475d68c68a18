package citizen

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/audit"
	"impfportal/internal/pg"
	"impfportal/internal/web"
	"impfportal/notify"
)

// Contact is what a person may change alone. Names and birth date are changed
// by an agent, who sees a proof.
type Contact struct {
	Address      notify.Address
	Phone, Email string
	Lang         string
}

// ChangeContact stores a new contact and tells the old one, so that nobody's
// contact is replaced unnoticed. It returns Invalid for what cannot be.
func (s *Service) ChangeContact(ctx context.Context, personID string, in Contact, actor, role string) (Person, error) {
	var e Invalid
	cleanContact(&e, &in.Address, &in.Phone, &in.Email)
	if len(e) > 0 {
		return Person{}, e
	}
	if in.Lang != "en" {
		in.Lang = "de"
	}
	now := s.Now()
	var p Person
	err := pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT FROM citizen.person WHERE id = $1 FOR NO KEY UPDATE`, personID); err != nil {
			return err
		}
		before, err := s.Person(ctx, tx, personID)
		if err != nil {
			return err
		}
		p = before
		p.Address, p.Phone, p.Email, p.Lang = in.Address, in.Phone, in.Email, in.Lang
		if p == before {
			return nil
		}
		p.ContactChangedAt = now
		key, err := s.Vault.Open(ctx, tx, p.KeyID)
		if err != nil {
			return err
		}
		sealed, err := key.SealJSON(personContext, recordOf(p))
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `UPDATE citizen.person SET sealed = $2, postcode_index = $3 WHERE id = $1`,
			p.ID, sealed, s.postcodeIndex(p.FamilyName, p.Address.Postcode)); err != nil {
			return err
		}
		if err := s.sendContactChanged(ctx, tx, before, now); err != nil {
			return err
		}
		if s.Changed != nil {
			if err := s.Changed(ctx, tx, p); err != nil {
				return err
			}
		}
		return audit.Write(ctx, tx, now, audit.Entry{Actor: actor, Role: role, Action: "citizen.contact_changed", Subject: Subject(p.ID)})
	})
	return p, wrap("change contact", err)
}

// Delete destroys a registration on its person's request: the vault key, the
// login data and all sessions. It returns ErrStanding while an appointment
// stands.
func (s *Service) Delete(ctx context.Context, personID, actor, role string) error {
	now := s.Now()
	return wrap("delete", pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		// A hold takes FOR KEY SHARE on this row (LockForBooking): it is either
		// finished and seen below, or waits and then finds the row closed.
		var exists bool
		err := tx.QueryRow(ctx, `SELECT true FROM citizen.person WHERE id = $1 AND state <> 'closed' FOR UPDATE`, personID).Scan(&exists)
		if pg.NoRows(err) {
			return ErrNotFound
		}
		if err != nil {
			return err
		}
		standing, err := s.Bookings(ctx, tx, []string{personID})
		if err != nil {
			return err
		}
		if standing[personID] {
			return ErrStanding
		}
		if err := s.close(ctx, tx, []string{personID}, now); err != nil {
			return err
		}
		return audit.Write(ctx, tx, now, audit.Entry{Actor: actor, Role: role, Action: "citizen.deleted", Subject: Subject(personID)})
	}))
}

// close destroys the keys, login data and sessions of persons whose rows the
// caller has locked, and leaves bare rows for what still refers to them.
func (s *Service) close(ctx context.Context, tx pgx.Tx, ids []string, now time.Time) error {
	var keys []string
	err := tx.QueryRow(ctx, `SELECT coalesce(array_agg(key_id::text), '{}') FROM citizen.person WHERE id = ANY($1::text[]::uuid[])`, ids).Scan(&keys)
	if err != nil {
		return err
	}
	for _, k := range keys {
		if err := s.Vault.Destroy(ctx, tx, k); err != nil {
			return err
		}
	}
	b := &pgx.Batch{}
	b.Queue(`
		UPDATE citizen.person SET state = 'closed', closed_at = $2, sealed = NULL, identity_year = NULL, identity_month = NULL,
			identity_day = NULL, postcode_index = NULL, duplicate_of = NULL
		WHERE id = ANY($1::text[]::uuid[])`, ids, now)
	b.Queue(`DELETE FROM citizen.login WHERE person_id = ANY($1::text[]::uuid[])`, ids)
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return err
	}
	if s.Forget != nil {
		if err := s.Forget(ctx, tx, ids); err != nil {
			return err
		}
	}
	for _, personID := range ids {
		if err := web.EndSessions(ctx, tx, SessionKind, personID); err != nil {
			return err
		}
	}
	return nil
}
