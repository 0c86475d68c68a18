package hotline

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/audit"
	"impfportal/booking"
	"impfportal/citizen"
	"impfportal/internal/id"
	"impfportal/internal/pg"
	"impfportal/internal/vault"
)

// Dispositions are how a call ended (Gesprächsergebnis).
var Dispositions = []string{"booked", "changed", "registered", "cancelled", "waiting", "login", "advice", "callback", "other"}

// callTime is how long a call lasts at most: what was done before is of another one.
const callTime = time.Hour

// mostSteps bounds how many entries of the record are looked at for a call.
const mostSteps = 100

// doneInCall says how the call ends as far as the record tells what the agent has
// done for the person in it: since their last note, and no longer ago than callTime.
// What was done last counts; that somebody was registered, or got login data, counts
// when there was nothing else. "" = nothing was done, and the agent says how it ended.
func (s *Service) doneInCall(ctx context.Context, p citizen.Person, waiting *booking.Waiting, b By) (string, error) {
	subjects := []string{citizen.Subject(p.ID)}
	if waiting != nil {
		subjects = append(subjects, booking.WaitingSubject(waiting.ID))
	}
	since := s.Now().Add(-callTime)
	var last, beside string
	var lastAt time.Time
	for _, subject := range subjects {
		rows, err := audit.Recent(ctx, s.Pool, subject, mostSteps)
		if err != nil {
			return "", err
		}
		for _, r := range rows { // newest first
			if r.Actor != b.Actor || r.At.Before(since) {
				continue
			}
			if r.Action == "hotline.note" {
				since = r.At
				break
			}
			switch what := endsWith(r); what {
			case "":
			case "registered", "login":
				beside = what
			default:
				if r.At.After(lastAt) {
					last, lastAt = what, r.At
				}
			}
		}
	}
	return cmp.Or(last, beside), nil
}

// endsWith is the disposition of a call in which an entry of the record was written
// last; "" when it says nothing about that.
func endsWith(r audit.Row) string {
	switch r.Action {
	case "hotline.book":
		return "booked"
	case "hotline.change", "hotline.proposal":
		return "changed"
	case "hotline.cancel":
		return "cancelled"
	case "hotline.registered":
		return "registered"
	case "hotline.login.post", "hotline.login.contact":
		return "login"
	case booking.WaitAction:
		return "waiting"
	case "hotline.offer":
		var after struct{ Answer string }
		if json.Unmarshal(r.After, &after) == nil && after.Answer == booking.OfferAccepted {
			return "booked"
		}
	}
	return ""
}

// maxNote is how long a note may be, in characters.
const maxNote = 1000

// Note is what an agent wrote about a call.
type Note struct {
	ID          string    `json:"id"`
	Disposition string    `json:"disposition" enum:"booked,changed,registered,cancelled,waiting,login,advice,callback,other"`
	Text        string    `json:"text"`
	Actor       string    `json:"actor"`
	At          time.Time `json:"at"`
}

// AddNote stores a note, sealed under the person's key.
func (s *Service) AddNote(ctx context.Context, personID, disposition, text string, b By) error {
	now := s.Now()
	if !slices.Contains(Dispositions, disposition) {
		disposition = "other"
	}
	if r := []rune(text); len(r) > maxNote {
		text = string(r[:maxNote])
	}
	return pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		p, err := s.Citizens.Person(ctx, tx, personID)
		if err != nil {
			return err
		}
		k, err := s.Vault.Open(ctx, tx, p.KeyID)
		if err != nil {
			return err
		}
		noteID := id.New()
		_, err = tx.Exec(ctx, `INSERT INTO hotline.note (id, person_id, key_id, sealed, disposition, actor, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
			noteID, p.ID, k.ID, k.Seal("hotline.note "+noteID, []byte(text)), disposition, b.Actor, now)
		if err != nil {
			return err
		}
		return s.note(ctx, tx, now, b, "hotline.note", citizen.Subject(p.ID), map[string]any{"disposition": disposition})
	})
}

// notes returns the notes about a person, newest first.
func (s *Service) notes(ctx context.Context, p citizen.Person) ([]Note, error) {
	key, err := s.Vault.Open(ctx, s.Pool, p.KeyID)
	if errors.Is(err, vault.ErrDestroyed) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	rows, err := s.Pool.Query(ctx, `SELECT id::text, disposition, sealed, actor, created_at FROM hotline.note WHERE person_id = $1 ORDER BY created_at DESC, id DESC LIMIT 50`, p.ID)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (Note, error) {
		var n Note
		var sealed []byte
		if err := row.Scan(&n.ID, &n.Disposition, &sealed, &n.Actor, &n.At); err != nil {
			return n, err
		}
		plain, err := key.Unseal("hotline.note "+n.ID, sealed)
		n.Text = string(plain)
		return n, err
	})
}
