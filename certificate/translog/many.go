package translog

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/mod/sumdb/tlog"

	"impfportal/internal/pg"
)

// TreeAt is the right edge of the log when it had that many leaves, to add later
// leaves to: who does and arrives at a signed root has read every one of them.
func TreeAt(ctx context.Context, q pg.Querier, size int64) (*Tree, error) {
	return readTree(size, stored{ctx, q})
}

// Before is the newest checkpoint that was made before a moment; Size 0 and no
// note when there is none.
func (l *Log) Before(ctx context.Context, q pg.Querier, moment time.Time) (c Checkpoint, err error) {
	var note []byte
	err = q.QueryRow(ctx, `SELECT note FROM certificate.log_checkpoint WHERE made_at < $1 ORDER BY size DESC LIMIT 1`, moment).Scan(&note)
	if pg.NoRows(err) {
		return Checkpoint{Origin: l.Key.Origin}, nil
	}
	if err != nil {
		return c, err
	}
	if c, err = OpenCheckpoint(note, l.Key.Verifier()); err != nil {
		err = fmt.Errorf("%w: checkpoint: %w", ErrDamaged, err)
	}
	return c, err
}

// Begun is when the first checkpoint was made; the zero time while there is none.
func Begun(ctx context.Context, q pg.Querier) (at time.Time, err error) {
	err = q.QueryRow(ctx, `SELECT made_at FROM certificate.log_checkpoint ORDER BY size LIMIT 1`).Scan(&at)
	if pg.NoRows(err) {
		return at, nil
	}
	return at, err
}

// Signed returns the leaves of certificates and re-issues with these digests,
// by digest; those that wait for their place are left out.
func Signed(ctx context.Context, q pg.Querier, digests [][]byte) (map[string]Entry, error) {
	rows, err := q.Query(ctx, `
		SELECT idx, ref, data, digest FROM certificate.log_leaf WHERE digest = ANY($1) AND kind IN ('certificate', 'reissue') AND idx IS NOT NULL`, digests)
	if err != nil {
		return nil, err
	}
	out := make(map[string]Entry, len(digests))
	var e Entry
	var digest []byte
	_, err = pgx.ForEachRow(rows, []any{&e.Index, &e.Ref, &e.Data, &digest}, func() error {
		out[string(digest)] = e
		e.Data = nil
		return nil
	})
	return out, err
}

// At returns the leaves with these places, in the order of the log.
func At(ctx context.Context, q pg.Querier, indexes []int64) ([]Entry, error) {
	rows, err := q.Query(ctx, `SELECT idx, ref, data FROM certificate.log_leaf WHERE idx = ANY($1) ORDER BY idx`, indexes)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Entry])
}

// Inclusions proves many leaves at once against the log of one size, in the order
// of the indexes, with one question to the database. ErrRange as Inclusion.
func Inclusions(ctx context.Context, q pg.Querier, indexes []int64, size int64) ([]tlog.RecordProof, error) {
	if len(indexes) == 0 {
		return nil, nil
	}
	if err := within(ctx, q, size); err != nil {
		return nil, err
	}
	prove := func(r tlog.HashReader) (out []tlog.RecordProof, err error) {
		out = make([]tlog.RecordProof, len(indexes))
		for i, index := range indexes {
			if index < 0 || index >= size {
				return nil, fmt.Errorf("%w: leaf %d of %d", ErrRange, index, size)
			}
			if out[i], err = tlog.ProveRecord(size, index, r); err != nil {
				return nil, err
			}
		}
		return out, nil
	}
	wanted := map[int64]tlog.Hash{}
	if _, err := prove(tlog.HashReaderFunc(func(at []int64) ([]tlog.Hash, error) {
		for _, i := range at {
			wanted[i] = tlog.Hash{}
		}
		return make([]tlog.Hash, len(at)), nil
	})); err != nil {
		return nil, err
	}
	positions := make([]int64, 0, len(wanted))
	for i := range wanted {
		positions = append(positions, i)
	}
	hashes, err := stored{ctx, q}.ReadHashes(positions)
	if err != nil {
		return nil, err
	}
	for i, at := range positions {
		wanted[at] = hashes[i]
	}
	return prove(tlog.HashReaderFunc(func(at []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(at))
		for i, index := range at {
			out[i] = wanted[index]
		}
		return out, nil
	}))
}
