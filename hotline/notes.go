package hotline

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/citizen"
	"impfportal/internal/id"
	"impfportal/internal/pg"
	"impfportal/internal/vault"
)

// Dispositions are how a call ended (Gesprächsergebnis).
var Dispositions = []string{"booked", "registered", "cancelled", "login", "advice", "callback", "other"}

// maxNote is how long a note may be, in characters.
const maxNote = 1000

// Note is what an agent wrote about a call.
type Note struct {
	ID          string    `json:"id"`
	Disposition string    `json:"disposition" enum:"booked,registered,cancelled,login,advice,callback,other"`
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
