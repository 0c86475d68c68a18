package translog

import (
	"bytes"
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"golang.org/x/mod/sumdb/tlog"
)

// checkPage is how many leaves Check reads at once.
const checkPage = 5000

// Check recomputes the log from its leaves: every leaf in its canonical form and
// as its searchable columns say, every stored hash, the root, the signature. It
// returns how many leaves it read, and ErrDamaged, with an alarm written, at the
// first thing that does not fit.
func (l *Log) Check(ctx context.Context) (leaves int64, err error) {
	now, err := l.newest(ctx, l.Pool)
	if err != nil {
		return 0, l.alarmed(ctx, err)
	}
	tree := &Tree{}
	for tree.Size() < now.Size {
		if err := l.checkSome(ctx, tree, min(now.Size, tree.Size()+checkPage)); err != nil {
			return tree.Size(), l.alarmed(ctx, err)
		}
	}
	root, err := tree.Root()
	if err != nil {
		return tree.Size(), err
	}
	if now.Size > 0 && root != now.Root {
		err = fmt.Errorf("%w: the root of %d leaves is not the one that was signed", ErrDamaged, now.Size)
	}
	return tree.Size(), l.alarmed(ctx, err)
}

func (l *Log) checkSome(ctx context.Context, tree *Tree, upto int64) error {
	var nodes []tlog.Hash
	from := tlog.StoredHashCount(tree.Size())
	rows, err := l.Pool.Query(ctx, `
		SELECT idx, kind, digest, to_char(day, 'YYYY-MM-DD'), data FROM certificate.log_leaf WHERE idx >= $1 AND idx < $2 ORDER BY idx`, tree.Size(), upto)
	if err != nil {
		return err
	}
	type row struct {
		Index  int64
		Kind   string
		Digest []byte
		Day    string
		Data   []byte
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[row])
	if err != nil {
		return err
	}
	for _, r := range list {
		if r.Index != tree.Size() {
			return fmt.Errorf("%w: leaf %d is missing", ErrDamaged, tree.Size())
		}
		leaf, err := Decode(r.Data)
		if err != nil || leaf.Kind != r.Kind || !bytes.Equal(leaf.Digest, r.Digest) || leaf.Day.Format("2006-01-02") != r.Day {
			return fmt.Errorf("%w: leaf %d was changed", ErrDamaged, r.Index)
		}
		added, err := tree.Add(tlog.RecordHash(r.Data))
		if err != nil {
			return err
		}
		nodes = append(nodes, added...)
	}
	if tree.Size() != upto {
		return fmt.Errorf("%w: leaf %d is missing", ErrDamaged, tree.Size())
	}
	positions := make([]int64, len(nodes))
	for i := range nodes {
		positions[i] = from + int64(i)
	}
	kept, err := stored{ctx, l.Pool}.ReadHashes(positions)
	if err != nil {
		return err
	}
	for i := range nodes {
		if nodes[i] != kept[i] {
			level, n := tlog.SplitStoredHashIndex(positions[i])
			return fmt.Errorf("%w: the hash at level %d of leaves %d to %d is not the stored one", ErrDamaged, level, n<<level, (n+1)<<level-1)
		}
	}
	return nil
}
