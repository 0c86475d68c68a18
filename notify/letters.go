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

// PrintQueue is the state of the letters.
type PrintQueue struct {
	Waiting int
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
}

const batchColumns = `b.id::text, b.taken_by, b.taken_at, b.printed_at,
	(SELECT count(*) FROM notify.message m WHERE m.batch_id = b.id AND m.state <> 'void')::int,
	(SELECT count(*) FROM notify.message m WHERE m.batch_id = b.id AND m.state = 'void')::int`

// Letters returns the print queue with its last batches.
func (s *Service) Letters(ctx context.Context, q pg.Querier) (PrintQueue, error) {
	var p PrintQueue
	err := q.QueryRow(ctx, `
		SELECT count(*)::int, min(created_at) FROM notify.message
		WHERE channel = 'letter' AND state = 'queued' AND batch_id IS NULL`).Scan(&p.Waiting, &p.Oldest)
	if err != nil {
		return p, err
	}
	rows, err := q.Query(ctx, `SELECT `+batchColumns+` FROM notify.batch b ORDER BY b.taken_at DESC, b.id DESC LIMIT 30`)
	if err != nil {
		return p, err
	}
	p.Batches, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Batch])
	return p, err
}

// BatchByID returns one batch, or ErrNotFound.
func (s *Service) BatchByID(ctx context.Context, q pg.Querier, batchID string) (Batch, error) {
	rows, err := q.Query(ctx, `SELECT `+batchColumns+` FROM notify.batch b WHERE b.id = $1`, batchID)
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
// batch. Two people who take at once get different letters. ErrEmpty when none
// waits.
func (s *Service) TakeBatch(ctx context.Context, actor, role string) (batchID string, err error) {
	now := s.cfg.Now().UTC()
	batchID = id.New()
	err = pg.InTx(ctx, s.cfg.Pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `INSERT INTO notify.batch (id, taken_by, taken_at) VALUES ($1, $2, $3)`, batchID, actor, now); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, `
			UPDATE notify.message SET batch_id = $1 WHERE id IN (
				SELECT id FROM notify.message
				WHERE channel = 'letter' AND state = 'queued' AND batch_id IS NULL
				ORDER BY created_at, id LIMIT $2 FOR UPDATE SKIP LOCKED)`, batchID, BatchLimit)
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 0 {
			return ErrEmpty
		}
		return audit.Write(ctx, tx, now, audit.Entry{
			Actor: actor, Role: role, Action: "notify.letters.take", Subject: "batch:" + batchID,
			After: map[string]any{"letters": tag.RowsAffected()},
		})
	})
	return batchID, err
}

// BatchZIP returns the letters of a batch, one PDF each, numbered in the order
// in which they are to be printed. Letters whose person was deleted are left
// out and become void. Every call is in the audit record. What is printed is not
// handed out again (ErrNotFound) unless PrintAgain gives it back to the queue: the
// letters hold addresses and login data, and a batch is no archive of them.
func (s *Service) BatchZIP(ctx context.Context, batchID, actor, role string) ([]byte, error) {
	now := s.cfg.Now().UTC()
	var buf bytes.Buffer
	err := pg.InTx(ctx, s.cfg.Pool, func(tx pgx.Tx) error {
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
			Actor: actor, Role: role, Action: "notify.letters.download", Subject: "batch:" + batchID,
			After: map[string]any{"letters": n},
		})
	})
	return buf.Bytes(), err
}

// MarkPrinted says that the letters of a batch are on paper and on their way.
func (s *Service) MarkPrinted(ctx context.Context, batchID, actor, role string) error {
	return s.batchStep(ctx, batchID, actor, role, "notify.letters.printed",
		`UPDATE notify.message SET state = 'printed', done_at = $2 WHERE batch_id = $1 AND state = 'queued'`,
		`UPDATE notify.batch SET printed_at = $2 WHERE id = $1 AND printed_at IS NULL`)
}

// PrintAgain gives the letters of a batch back to the queue: the printer ate
// them, or the batch was taken by mistake.
func (s *Service) PrintAgain(ctx context.Context, batchID, actor, role string) error {
	return s.batchStep(ctx, batchID, actor, role, "notify.letters.again",
		`UPDATE notify.message SET state = 'queued', done_at = NULL, batch_id = NULL, queued_at = $2 WHERE batch_id = $1 AND state IN ('queued', 'printed')`,
		`UPDATE notify.batch SET printed_at = $2 WHERE id = $1`)
}

func (s *Service) batchStep(ctx context.Context, batchID, actor, role, action, letters, batch string) error {
	now := s.cfg.Now().UTC()
	return pg.InTx(ctx, s.cfg.Pool, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, batch, batchID, now)
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 0 {
			var done bool // pressed twice
			if err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM notify.batch WHERE id = $1)`, batchID).Scan(&done); err != nil || done {
				return err
			}
			return ErrNotFound
		}
		if tag, err = tx.Exec(ctx, letters, batchID, now); err != nil {
			return err
		}
		return audit.Write(ctx, tx, now, audit.Entry{
			Actor: actor, Role: role, Action: action, Subject: "batch:" + batchID,
			After: map[string]any{"letters": tag.RowsAffected()},
		})
	})
}
