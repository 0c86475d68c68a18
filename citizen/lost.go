package citizen

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/audit"
	"impfportal/internal/id"
	"impfportal/internal/pg"
)

// At most this often new login data is sent to one person, whoever asks: more
// would be a way to pester somebody. A letter under way counts longer.
const (
	lostPause       = 24 * time.Hour
	lostPauseLetter = 7 * 24 * time.Hour
)

// LostRequest is what somebody who lost the login data still knows: the case
// number, or name and birth date. The new data goes to the contact that is
// known, whoever asks.
type LostRequest struct {
	CaseNumber    string
	Family, Given string
	Birth         PartialDate
}

// clean lists what is wrong with a request without looking anybody up.
func (r *LostRequest) clean() (e Invalid) {
	r.CaseNumber, r.Family, r.Given = tidy(r.CaseNumber), tidy(r.Family), tidy(r.Given)
	if r.CaseNumber != "" {
		if _, err := ParseCaseNumber(r.CaseNumber); err != nil {
			e.add("case_number", "case_number_typo", "Example", CodeExample)
		}
		return e
	}
	if r.Family == "" {
		e.add("family_name", "family_name_required")
	} else if key, args := nameProblem(r.Family); key != "" {
		e.add("family_name", key, args...)
	}
	if key, args := nameProblem(r.Given); key != "" && r.Given != singleName {
		e.add("given_name", key, args...)
	}
	if r.Given == singleName {
		r.Given = ""
	}
	if r.Birth.IsZero() {
		e.add("birth", "birth_required")
	} else if !r.Birth.exists() {
		e.add("birth", "date_impossible")
	}
	return e
}

// RequestLogin takes a request for new login data. Whether it fits somebody
// shows nowhere: the same rows are written, and a task of the worker does the
// rest.
func (s *Service) RequestLogin(ctx context.Context, r LostRequest) error {
	if e := r.clean(); len(e) > 0 {
		return e
	}
	now := s.Now()
	number, _ := ParseCaseNumber(r.CaseNumber) // "" matches nobody
	ident := s.identity(r.Family, r.Given, r.Birth)
	return pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		requestID := id.New()
		_, err := tx.Exec(ctx, `
			INSERT INTO citizen.lost_request (id, requested_at, person_ids) VALUES ($1, $2, ARRAY(
				SELECT l.person_id FROM citizen.login l WHERE l.case_number = $3
				UNION ALL
				(SELECT p.id FROM citizen.person p
				 WHERE $3 = '' AND p.identity_year = $4 AND p.state <> 'closed'
				   AND (p.identity_month IS NULL OR $5::bytea IS NULL OR p.identity_month = $5)
				   AND (p.identity_day IS NULL OR $6::bytea IS NULL OR p.identity_day = $6)
				 ORDER BY p.state, p.registered_at DESC, p.id LIMIT 5)))`,
			requestID, now, number, ident.year, ident.month, ident.day)
		if err != nil {
			return wrap("lost login", err)
		}
		return lostLogin.Enqueue(ctx, tx, lostPayload{RequestID: requestID})
	})
}

// answerLost sends new login data to the known contact of everybody whom a
// request fits. Running it again sends nothing again: the pause sees to it.
func (s *Service) answerLost(ctx context.Context, requestID string) error {
	var ids []string
	err := s.Pool.QueryRow(ctx, `SELECT person_ids::text[] FROM citizen.lost_request WHERE id = $1`, requestID).Scan(&ids)
	if err != nil && !pg.NoRows(err) {
		return wrap("lost login", err)
	}
	for _, personID := range ids {
		if err := s.renewLost(ctx, personID); err != nil {
			return wrap("lost login", err)
		}
	}
	return nil
}

func (s *Service) renewLost(ctx context.Context, personID string) error {
	now := s.Now()
	return pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		p, err := s.Person(ctx, tx, personID)
		if errors.Is(err, ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		pause := lostPause
		if !reachable(p) {
			pause = lostPauseLetter
		}
		tag, err := tx.Exec(ctx, `
			UPDATE citizen.login SET sent_at = $2 WHERE person_id = $1 AND coalesce(sent_at, '-infinity') <= $3`,
			personID, now, now.Add(-pause))
		if err != nil || tag.RowsAffected() == 0 {
			return err
		}
		secret, err := s.NewLogin(ctx, tx, p.ID)
		if err != nil {
			return err
		}
		if err := s.sendNewLogin(ctx, tx, p, secret, now); err != nil {
			return err
		}
		return audit.Write(ctx, tx, now, audit.Entry{Actor: "system", Action: "citizen.login_sent", Subject: Subject(p.ID)})
	})
}
