package notify

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/audit"
	"impfportal/internal/id"
	"impfportal/internal/pg"
	"impfportal/internal/vault"
)

// BatchLimit is how many letters one batch holds at most.
const BatchLimit = 200

// ErrEmpty says that no letter waits.
var ErrEmpty = errors.New("notify: no letter waits")

// Printer is somebody who works on the print queue.
type Printer struct {
	Actor, Role string // as in audit
	// Guarded says that they may have the letters that give rights over others, as the
	// activation code of an issuer does. These come in batches of their own, which only
	// who took one may download. Who has had one must not decide about it: TakersOf.
	Guarded bool
}

// PrintQueue is the state of the letters that somebody may print.
type PrintQueue struct {
	Waiting int
	Guarded int        // of them; they come first
	Oldest  *time.Time // when the oldest waiting letter was written
	Batches []Batch    // newest first
}

// Batch is a pile of letters that somebody took to print.
type Batch struct {
	ID        string
	TakenBy   string
	TakenAt   time.Time
	PrintedAt *time.Time // nil = not yet marked as printed
	Letters   int
	Void      int // letters whose person was deleted meanwhile
	Guarded   bool
}

// Holder says whether somebody may download the batch.
func (b Batch) Holder(actor string) bool { return !b.Guarded || b.TakenBy == actor }

const batchColumns = `b.id::text, b.taken_by, b.taken_at, b.printed_at,
	(SELECT count(*) FROM notify.message m WHERE m.batch_id = b.id AND m.state <> 'void')::int,
	(SELECT count(*) FROM notify.message m WHERE m.batch_id = b.id AND m.state = 'void')::int, b.guarded`

// Letters returns somebody's print queue with its last batches.
func (s *Service) Letters(ctx context.Context, q pg.Querier, by Printer) (PrintQueue, error) {
	var p PrintQueue
	err := q.QueryRow(ctx, `
		SELECT count(*)::int, count(*) FILTER (WHERE guarded)::int, min(created_at) FROM notify.message
		WHERE channel = 'letter' AND state = 'queued' AND batch_id IS NULL AND (NOT guarded OR $1)`, by.Guarded).Scan(&p.Waiting, &p.Guarded, &p.Oldest)
	if err != nil {
		return p, err
	}
	rows, err := q.Query(ctx, `SELECT `+batchColumns+` FROM notify.batch b WHERE NOT b.guarded OR $1 ORDER BY b.taken_at DESC, b.id DESC LIMIT 30`, by.Guarded)
	if err != nil {
		return p, err
	}
	p.Batches, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Batch])
	return p, err
}

// BatchByID returns one of the batches that somebody may see, or ErrNotFound.
func (s *Service) BatchByID(ctx context.Context, q pg.Querier, batchID string, by Printer) (Batch, error) {
	rows, err := q.Query(ctx, `SELECT `+batchColumns+` FROM notify.batch b WHERE b.id = $1 AND (NOT b.guarded OR $2)`, batchID, by.Guarded)
	if err != nil {
		return Batch{}, err
	}
	b, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[Batch])
	if pg.NoRows(err) {
		return b, ErrNotFound
	}
	return b, err
}

// TakeBatch puts the oldest waiting letters, at most BatchLimit, into a new
// batch: the guarded ones first and by themselves. Two people who take at once get
// different letters. ErrEmpty when none waits.
func (s *Service) TakeBatch(ctx context.Context, by Printer) (batchID string, err error) {
	now := s.cfg.Now().UTC()
	batchID = id.New()
	err = pg.InTx(ctx, s.cfg.Pool, func(tx pgx.Tx) error {
		var guarded bool
		err := tx.QueryRow(ctx, `
			INSERT INTO notify.batch (id, taken_by, taken_at, guarded)
			SELECT $1, $2, $3, $4 AND EXISTS (SELECT FROM notify.message WHERE channel = 'letter' AND state = 'queued' AND batch_id IS NULL AND guarded)
			RETURNING guarded`, batchID, by.Actor, now, by.Guarded).Scan(&guarded)
		if err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, `
			UPDATE notify.message SET batch_id = $1, takers = CASE WHEN guarded THEN array_append(takers, $4) ELSE takers END WHERE id IN (
				SELECT id FROM notify.message
				WHERE channel = 'letter' AND state = 'queued' AND batch_id IS NULL AND guarded = $3
				ORDER BY created_at, id LIMIT $2 FOR UPDATE SKIP LOCKED)`, batchID, BatchLimit, guarded, by.Actor)
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 0 {
			return ErrEmpty
		}
		return audit.Write(ctx, tx, now, audit.Entry{
			Actor: by.Actor, Role: by.Role, Action: "notify.letters.take", Subject: "batch:" + batchID,
			After: map[string]any{"letters": tag.RowsAffected(), "guarded": guarded},
		})
	})
	return batchID, err
}

// BatchZIP returns the letters of a batch, one PDF each, numbered in the order
// in which they are to be printed. Letters whose person was deleted are left
// out and become void. Every call is in the audit record. What is printed is not
// handed out again (ErrNotFound) unless PrintAgain gives it back to the queue: the
// letters hold addresses and login data, and a batch is no archive of them.
func (s *Service) BatchZIP(ctx context.Context, batchID string, by Printer) ([]byte, error) {
	now := s.cfg.Now().UTC()
	var buf bytes.Buffer
	err := pg.InTx(ctx, s.cfg.Pool, func(tx pgx.Tx) error {
		b, err := s.BatchByID(ctx, tx, batchID, by)
		if err != nil {
			return err
		}
		if !b.Holder(by.Actor) {
			return ErrNotFound
		}
		rows, err := tx.Query(ctx, `
			SELECT id::text, key_id::text, sealed FROM notify.message
			WHERE batch_id = $1 AND state = 'queued' ORDER BY created_at, id FOR UPDATE`, batchID)
		if err != nil {
			return err
		}
		type row struct {
			ID, KeyID string
			Sealed    []byte
		}
		list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[row])
		if err != nil {
			return err
		}
		if len(list) == 0 {
			return ErrNotFound
		}
		z := zip.NewWriter(&buf)
		n := 0
		for _, r := range list {
			var c content
			key, err := s.cfg.Vault.Open(ctx, tx, r.KeyID)
			if err == nil {
				err = key.UnsealJSON(sealContext(r.ID), r.Sealed, &c)
			}
			if errors.Is(err, vault.ErrDestroyed) {
				_, err = tx.Exec(ctx, `UPDATE notify.message SET state = 'void', sealed = NULL, done_at = $2 WHERE id = $1`, r.ID, now)
				if err != nil {
					return err
				}
				continue
			}
			if err != nil {
				return fmt.Errorf("letter %s: %w", r.ID, err)
			}
			n++
			f, err := z.CreateHeader(&zip.FileHeader{Name: fmt.Sprintf("%04d.pdf", n), Method: zip.Deflate, Modified: now})
			if err != nil {
				return err
			}
			if _, err := f.Write(c.PDF); err != nil {
				return err
			}
		}
		if err := z.Close(); err != nil {
			return err
		}
		return audit.Write(ctx, tx, now, audit.Entry{
			Actor: by.Actor, Role: by.Role, Action: "notify.letters.download", Subject: "batch:" + batchID,
			After: map[string]any{"letters": n},
		})
	})
	return buf.Bytes(), err
}

// MarkPrinted says that the letters of a batch are on paper and on their way.
func (s *Service) MarkPrinted(ctx context.Context, batchID string, by Printer) error {
	return s.batchStep(ctx, batchID, by, "notify.letters.printed",
		`UPDATE notify.message SET state = 'printed', done_at = $2 WHERE batch_id = $1 AND state = 'queued'`,
		`UPDATE notify.batch SET printed_at = $2 WHERE id = $1 AND printed_at IS NULL`)
}

// PrintAgain gives the letters of a batch back to the queue: the printer ate
// them, or the batch was taken by mistake.
func (s *Service) PrintAgain(ctx context.Context, batchID string, by Printer) error {
	return s.batchStep(ctx, batchID, by, "notify.letters.again",
		`UPDATE notify.message SET state = 'queued', done_at = NULL, batch_id = NULL, queued_at = $2 WHERE batch_id = $1 AND state IN ('queued', 'printed')`,
		`UPDATE notify.batch SET printed_at = $2 WHERE id = $1`)
}

func (s *Service) batchStep(ctx context.Context, batchID string, by Printer, action, letters, batch string) error {
	now := s.cfg.Now().UTC()
	return pg.InTx(ctx, s.cfg.Pool, func(tx pgx.Tx) error {
		if _, err := s.BatchByID(ctx, tx, batchID, by); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, batch, batchID, now)
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 0 {
			return nil // pressed twice
		}
		if tag, err = tx.Exec(ctx, letters, batchID, now); err != nil {
			return err
		}
		return audit.Write(ctx, tx, now, audit.Entry{
			Actor: by.Actor, Role: by.Role, Action: action, Subject: "batch:" + batchID,
			After: map[string]any{"letters": tag.RowsAffected()},
		})
	})
}

// TakersOf returns who took guarded letters of a kind to print them, as in audit;
// keyID is the key of whom the letters are about.
func TakersOf(ctx context.Context, q pg.Querier, keyID, kind string) ([]string, error) {
	rows, err := q.Query(ctx, `SELECT DISTINCT unnest(takers) FROM notify.message WHERE key_id = $1 AND kind = $2 AND guarded ORDER BY 1`, keyID, kind)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}
