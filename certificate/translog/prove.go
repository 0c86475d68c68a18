package translog

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"golang.org/x/mod/sumdb/tlog"

	"impfportal/internal/pg"
)

// ErrRange says that a proof was asked for leaves or sizes that the log does not
// have (yet).
var ErrRange = errors.New("translog: the log does not have that")

// Entry is a leaf as stored.
type Entry struct {
	Index int64 // -1 while it waits for its place
	Ref   string
	Data  []byte
}

// Hash is the leaf's hash.
func (e Entry) Hash() tlog.Hash { return tlog.RecordHash(e.Data) }

// Leaf decodes it; the zero Leaf when it is malformed, which Check reports.
func (e Entry) Leaf() Leaf {
	l, _ := Decode(e.Data) //nolint:errcheck // see above
	return l
}

// Newest returns the newest checkpoint; Size 0 and no note when there is none.
func (l *Log) Newest(ctx context.Context) (Checkpoint, error) { return l.newest(ctx, l.Pool) }

// Leaves returns at most count leaves from index on, in order.
func Leaves(ctx context.Context, q pg.Querier, from int64, count int) ([]Entry, error) {
	rows, err := q.Query(ctx, `SELECT idx, ref, data FROM certificate.log_leaf WHERE idx >= $1 ORDER BY idx LIMIT $2`, from, count)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Entry])
}

// ByDigest returns the leaves of a digest, oldest first: the certificate, then
// what happened to it. Those that wait for their place come last.
func ByDigest(ctx context.Context, q pg.Querier, digest []byte) ([]Entry, error) {
	rows, err := q.Query(ctx, `SELECT coalesce(idx, -1), ref, data FROM certificate.log_leaf WHERE digest = $1 ORDER BY idx NULLS LAST, id LIMIT 100`, digest)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Entry])
}

// ByRefs returns the leaves of references, in the order of the log; those that
// wait for their place are left out.
func ByRefs(ctx context.Context, q pg.Querier, refs []string) ([]Entry, error) {
	rows, err := q.Query(ctx, `SELECT idx, ref, data FROM certificate.log_leaf WHERE ref = ANY($1) AND idx IS NOT NULL ORDER BY idx`, refs)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Entry])
}

// Inclusion proves that a leaf is in the log of that size (RFC 6962, 2.1.1;
// tlog.CheckRecord verifies it). ErrRange when it is not.
func Inclusion(ctx context.Context, q pg.Querier, index, size int64) (tlog.RecordProof, error) {
	if err := within(ctx, q, size); err != nil {
		return nil, err
	}
	if index < 0 || index >= size {
		return nil, fmt.Errorf("%w: leaf %d of %d", ErrRange, index, size)
	}
	return tlog.ProveRecord(size, index, stored{ctx, q})
}

// Consistency proves that the log of size to extends the log of size from (RFC
// 6962, 2.1.2; tlog.CheckTree verifies it). ErrRange when there are no such.
func Consistency(ctx context.Context, q pg.Querier, from, to int64) (tlog.TreeProof, error) {
	if err := within(ctx, q, to); err != nil {
		return nil, err
	}
	if from < 1 || from > to {
		return nil, fmt.Errorf("%w: from %d to %d", ErrRange, from, to)
	}
	return tlog.ProveTree(to, from, stored{ctx, q})
}

// RootAt is the root of the log when it had that many leaves.
func RootAt(ctx context.Context, q pg.Querier, size int64) (tlog.Hash, error) {
	if err := within(ctx, q, size); err != nil {
		return tlog.Hash{}, err
	}
	return tlog.TreeHash(size, stored{ctx, q})
}

// within refuses sizes beyond the newest checkpoint.
func within(ctx context.Context, q pg.Querier, size int64) error {
	var have int64
	if err := q.QueryRow(ctx, `SELECT coalesce(max(size), 0) FROM certificate.log_checkpoint`).Scan(&have); err != nil {
		return err
	}
	if size < 1 || size > have {
		return fmt.Errorf("%w: %d leaves of %d", ErrRange, size, have)
	}
	return nil
}
