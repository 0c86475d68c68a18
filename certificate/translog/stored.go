package translog

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"impfportal/internal/pg"
)

// ErrDamaged says that what the database holds is not the log that was signed.
var ErrDamaged = errors.New("translog: the stored log is damaged")

// stored reads hashes from the database for tlog.
type stored struct {
	ctx context.Context //nolint:containedctx // tlog.HashReader has no parameter for it; lives as long as one call
	q   pg.Querier
}

// ReadHashes returns ErrDamaged when one is missing.
func (s stored) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	rows, err := s.q.Query(s.ctx, `SELECT pos, hash FROM certificate.log_hash WHERE pos = ANY($1)`, indexes)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	found := make(map[int64]tlog.Hash, len(indexes))
	for rows.Next() {
		var pos int64
		var raw []byte
		if err := rows.Scan(&pos, &raw); err != nil {
			return nil, err
		}
		found[pos] = tlog.Hash(raw) // 32 bytes: a constraint
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	out := make([]tlog.Hash, len(indexes))
	for i, pos := range indexes {
		h, ok := found[pos]
		if !ok {
			return nil, fmt.Errorf("%w: hash %d is missing", ErrDamaged, pos)
		}
		out[i] = h
	}
	return out, nil
}

// newest is the newest checkpoint as stored, Size 0 when there is none.
func (l *Log) newest(ctx context.Context, q pg.Querier) (c Checkpoint, err error) {
	var note []byte
	err = q.QueryRow(ctx, `SELECT note FROM certificate.log_checkpoint ORDER BY size DESC LIMIT 1`).Scan(&note)
	if pg.NoRows(err) {
		return Checkpoint{Origin: l.Key.Origin}, nil
	}
	if err != nil {
		return c, err
	}
	c, err = OpenCheckpoint(note, l.Key.Verifier())
	if err != nil {
		return c, fmt.Errorf("%w: newest checkpoint: %w", ErrDamaged, err)
	}
	return c, nil
}
