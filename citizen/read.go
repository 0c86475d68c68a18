package citizen

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"impfportal/internal/id"
	"impfportal/internal/pg"
	"impfportal/internal/vault"
	"impfportal/notify"
)

// personColumns is what scanPerson reads; the key comes along in the same row.
const personColumns = `
	p.id::text, p.key_id::text, p.programme_id, p.group_code, p.state, p.sealed, p.registered_at, coalesce(l.case_number, ''), k.wrapped
	FROM citizen.person p
	JOIN vault.key k ON k.id = p.key_id
	LEFT JOIN citizen.login l ON l.person_id = p.id`

func (s *Service) scanPerson(row pgx.Row) (Person, error) {
	var (
		p               Person
		sealed, wrapped []byte
	)
	err := row.Scan(&p.ID, &p.KeyID, &p.ProgrammeID, &p.GroupCode, &p.State, &sealed, &p.RegisteredAt, &p.CaseNumber, &wrapped)
	if err != nil {
		return Person{}, err
	}
	key, err := s.Vault.Unwrap(p.KeyID, wrapped)
	if err != nil {
		return Person{}, err
	}
	var r record
	if err := key.UnsealJSON(personContext, sealed, &r); err != nil {
		return Person{}, err
	}
	r.into(&p)
	return p, nil
}

// Person returns a registration unsealed, or ErrNotFound when there is none or
// its key is destroyed.
func (s *Service) Person(ctx context.Context, q pg.Querier, personID string) (Person, error) {
	if !id.Valid(personID) {
		return Person{}, ErrNotFound
	}
	return s.standing(q.QueryRow(ctx, personByID, personID))
}

// personByID finds a registration that has not ended.
const personByID = `SELECT` + personColumns + ` WHERE p.id = $1 AND p.state <> 'closed'`

// standing scans what personByID found.
func (s *Service) standing(row pgx.Row) (Person, error) {
	p, err := s.scanPerson(row)
	if pg.NoRows(err) || errors.Is(err, vault.ErrDestroyed) {
		return Person{}, ErrNotFound
	}
	return p, wrap("person", err)
}

// QueuePerson is [Service.Person] in a batch, whose error it becomes.
func (s *Service) QueuePerson(b *pgx.Batch, personID string, into *Person) {
	b.Queue(personByID, personID).QueryRow(func(row pgx.Row) (err error) {
		*into, err = s.standing(row)
		return err
	})
}

// LockForBooking queues the check that a transaction makes before it gives
// somebody appointments. It keeps the registration from ending until the
// transaction ends; whoever ends it waits and then sees the appointment. A
// registration in check passes like any other. Of what the batch returns,
// [LockError] makes ErrNotFound for a registration that has ended.
func LockForBooking(b *pgx.Batch, personID string) {
	b.Queue(`SELECT citizen.lock_for_booking($1)`, personID)
}

// LockOut waits for every hold of the person that is under way and keeps others off
// until the transaction ends. ErrNotFound when the registration has ended. Who holds
// a series of theirs locks that first.
func LockOut(ctx context.Context, tx pgx.Tx, personID string) error {
	err := tx.QueryRow(ctx, `SELECT FROM citizen.person WHERE id = $1 AND state <> 'closed' FOR UPDATE`, personID).Scan()
	if pg.NoRows(err) {
		return ErrNotFound
	}
	return wrap("lock out", err)
}

// LockError returns ErrNotFound for what LockForBooking raised, and any other
// error as it is.
func LockError(err error) error {
	var raised *pgconn.PgError
	if errors.As(err, &raised) && raised.Code == "CZ001" {
		return ErrNotFound
	}
	return err
}

// Touch begins the time limit of a registration without a booking anew; booking
// calls it when the last appointment is cancelled or has expired.
func Touch(ctx context.Context, q pg.Querier, personID string, now time.Time) error {
	_, err := q.Exec(ctx, `UPDATE citizen.person SET keep_from = $2 WHERE id = $1 AND keep_from < $2`, personID, now)
	return wrap("touch", err)
}

// SeriesDone notes that the last dose of the series was given: from here on the
// policy 'after-vaccination' counts. Calling it again changes nothing.
func SeriesDone(ctx context.Context, q pg.Querier, personID string, at time.Time) error {
	_, err := q.Exec(ctx, `UPDATE citizen.person SET vaccinated_at = coalesce(vaccinated_at, $2) WHERE id = $1`, personID, at)
	return wrap("series done", err)
}

// SeriesUndone notes that a dose of the series was not given after all: the registration
// is kept from here on like one that waits for it.
func SeriesUndone(ctx context.Context, q pg.Querier, personID string, now time.Time) error {
	_, err := q.Exec(ctx, `UPDATE citizen.person SET vaccinated_at = NULL, keep_from = greatest(keep_from, $2) WHERE id = $1`, personID, now)
	return wrap("series undone", err)
}

// Recipient is where a person can be reached.
func (s *Service) Recipient(p Person) notify.Recipient {
	r := notify.Recipient{KeyID: p.KeyID, Email: p.Email, Phone: p.Phone, Lang: p.Lang}
	if completeAddress(p.Address) {
		a := p.Address
		a.Name = p.FullName()
		a.Country = countryLines[a.Country] // "" for Germany
		r.Postal = &a
	}
	return r
}

// searchLimit bounds how many people one search unseals.
const searchLimit = 25

// Search finds registrations by blind index, newest first. A query that names
// too little finds nothing. The caller writes the audit entry: it knows who asks.
func (s *Service) Search(ctx context.Context, q pg.Querier, sq SearchQuery) ([]Person, error) {
	var where string
	args := []any{searchLimit}
	switch {
	case sq.CaseNumber != "":
		code, err := ParseCaseNumber(sq.CaseNumber)
		if err != nil {
			return nil, err
		}
		where, args = `l.case_number = $2`, append(args, code)
	case matchName(sq.Family) != "" && !sq.Birth.IsZero():
		i := s.identity(sq.Family, sq.Given, sq.Birth)
		where = `p.identity_year = $2 AND (p.identity_month IS NULL OR $3::bytea IS NULL OR p.identity_month = $3)
			AND (p.identity_day IS NULL OR $4::bytea IS NULL OR p.identity_day = $4)`
		args = append(args, i.year, i.month, i.day)
	case matchName(sq.Family) != "" && strings.TrimSpace(sq.Postcode) != "":
		where, args = `p.postcode_index = $2`, append(args, s.postcodeIndex(sq.Family, tidy(sq.Postcode)))
	default:
		return nil, nil
	}
	if sq.Given != "" && sq.Birth.IsZero() && sq.CaseNumber == "" {
		args[0] = 10 * searchLimit // narrowed below
	}
	rows, err := q.Query(ctx, `SELECT`+personColumns+` WHERE p.state <> 'closed' AND `+where+` ORDER BY p.registered_at DESC, p.id LIMIT $1`, args...)
	if err != nil {
		return nil, wrap("search", err)
	}
	found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Person, error) { return s.scanPerson(row) })
	if err != nil {
		return nil, wrap("search", err)
	}
	if given := matchName(sq.Given); given != "" && sq.CaseNumber == "" {
		kept := found[:0]
		for _, p := range found {
			if strings.HasPrefix(matchName(p.GivenName), given) {
				kept = append(kept, p)
			}
		}
		found = kept
	}
	return found[:min(len(found), searchLimit)], nil
}
