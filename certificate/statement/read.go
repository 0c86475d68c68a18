package statement

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/mod/sumdb/tlog"

	"impfportal/certificate/translog"
)

// readBatch is how many leaves one transaction reads.
const readBatch = 10_000

// reader turns the leaves of a month into lines. It keeps the tree between its
// steps; where another worker was faster it takes it up again.
type reader struct {
	*Service
	month  time.Time
	tree   *translog.Tree
	tariff Tariff
}

// read takes in the next leaves; after the last one the month is ready to be made.
func (r *reader) read(ctx context.Context, tx pgx.Tx, m *Month) (err error) {
	if r.tree == nil || r.tree.Size() != m.ReadUpto {
		if r.tree, err = translog.TreeAt(ctx, tx, m.ReadUpto); err != nil {
			return err
		}
	}
	if r.tariff == nil {
		if r.tariff, err = Rates(ctx, tx); err != nil {
			return err
		}
	}
	entries, err := translog.Leaves(ctx, tx, m.ReadUpto, int(min(readBatch, m.Size-m.ReadUpto)))
	if err != nil {
		return err
	}
	leaves := make([]translog.Leaf, len(entries))
	for i, e := range entries {
		if e.Index != r.tree.Size() {
			return fmt.Errorf("%w: leaf %d is missing", ErrRoot, r.tree.Size())
		}
		if leaves[i], err = translog.Decode(e.Data); err != nil {
			return fmt.Errorf("leaf %d: %w", e.Index, err)
		}
		if _, err = r.tree.Add(e.Hash()); err != nil {
			return err
		}
	}
	if len(entries) == 0 && m.ReadUpto < m.Size {
		return fmt.Errorf("%w: leaf %d is missing", ErrRoot, m.ReadUpto)
	}
	lines, err := r.lines(ctx, tx, entries, leaves)
	if err != nil {
		return err
	}
	if err := store(ctx, tx, m.Month, lines); err != nil {
		return err
	}
	if m.ReadUpto = r.tree.Size(); m.ReadUpto == m.Size {
		root, err := r.tree.Root()
		if err != nil {
			return err
		}
		if m.Size > 0 && root != tlog.Hash(m.Root) {
			return ErrRoot
		}
		m.State = stateMaking
	}
	_, err = tx.Exec(ctx, `UPDATE certificate.statement_month SET read_upto = $2, state = $3 WHERE month = $1`, m.Month, m.ReadUpto, m.State)
	return err
}

// lines makes the lines of leaves that lie behind each other.
func (r *reader) lines(ctx context.Context, tx pgx.Tx, entries []translog.Entry, leaves []translog.Leaf) ([]Line, error) {
	held, err := r.held(ctx, tx, entries)
	if err != nil {
		return nil, err
	}
	var out []Line
	at := map[int64]int{}  // leaf -> line
	var takesBack [][2]int // line of a revocation, and its leaf
	for i, l := range leaves {
		index := entries[i].Index
		switch {
		case l.Kind == translog.KindCertificate && held[index]:
			line := lineOf(index, l)
			line.Item = Held
			out = append(out, line)
		case l.Kind == translog.KindCertificate:
			out = append(out, r.tariff.bill(index, l))
		case l.Kind == translog.KindReissue:
			line := lineOf(index, l)
			line.Item = Reissue
			out = append(out, line)
		case l.Kind == translog.KindRevocation:
			if credits(l) {
				takesBack = append(takesBack, [2]int{len(out), i})
			}
			line := lineOf(index, l)
			line.Item = Revocation
			out = append(out, line)
		default:
			continue // approvals, limits, stops: no certificates
		}
		at[index] = len(out) - 1
	}
	if len(takesBack) == 0 {
		return out, nil
	}
	digests := make([][]byte, len(takesBack))
	for i, t := range takesBack {
		digests[i] = leaves[t[1]].Digest
	}
	first, err := origins(ctx, tx, digests)
	if err != nil {
		return nil, err
	}
	billed, err := r.billed(ctx, tx, first, out, at)
	if err != nil {
		return nil, err
	}
	for i, t := range takesBack {
		from, ok := first[string(digests[i])]
		if !ok {
			continue // issued before there was a log: never billed
		}
		bill, ok := billed[from]
		if !ok {
			continue // held, or credited already
		}
		delete(billed, from)
		line := &out[t[0]]
		line.Item, line.Of, line.Cents, line.Issuer = Credit, &bill.Index, -bill.Cents, bill.Issuer
	}
	return out, nil
}

// held are those of the leaves that wait to be handed out.
func (r *reader) held(ctx context.Context, tx pgx.Tx, entries []translog.Entry) (map[int64]bool, error) {
	out := map[int64]bool{}
	if len(entries) == 0 {
		return out, nil
	}
	rows, err := tx.Query(ctx, `SELECT idx FROM certificate.statement_held WHERE idx >= $1 AND idx <= $2`, entries[0].Index, entries[len(entries)-1].Index)
	if err != nil {
		return nil, err
	}
	var index int64
	_, err = pgx.ForEachRow(rows, []any{&index}, func() error { out[index] = true; return nil })
	return out, err
}

// origins finds, for certificates and re-issues, the leaf of the certificate with
// which each chain of re-issues began.
func origins(ctx context.Context, tx pgx.Tx, digests [][]byte) (map[string]int64, error) {
	known := map[string]translog.Entry{}
	for wanted := digests; len(wanted) > 0; {
		found, err := translog.Signed(ctx, tx, wanted)
		if err != nil {
			return nil, err
		}
		wanted = nil
		for digest, e := range found {
			known[digest] = e
			if before, ok := replaced(e.Leaf()); ok {
				if _, ok := known[string(before)]; !ok {
					wanted = append(wanted, before)
				}
			}
		}
	}
	out := map[string]int64{}
	for _, d := range digests {
		digest := d
		for range len(known) + 1 { // a chain names nothing twice
			e, ok := known[string(digest)]
			if !ok {
				break
			}
			l := e.Leaf()
			if l.Kind == translog.KindCertificate {
				out[string(d)] = e.Index
				break
			}
			digest, _ = replaced(l)
		}
	}
	return out, nil
}

// billed finds what was billed for leaves and not credited, in the lines of this
// batch and in those that are stored.
func (r *reader) billed(ctx context.Context, tx pgx.Tx, first map[string]int64, lines []Line, at map[int64]int) (map[int64]Line, error) {
	out := map[int64]Line{}
	var stored []int64
	for _, index := range first {
		if i, ok := at[index]; !ok {
			stored = append(stored, index)
		} else if isBilled(lines[i].Item) {
			out[index] = lines[i]
		}
	}
	if len(stored) == 0 {
		return out, nil
	}
	rows, err := tx.Query(ctx, `
		SELECT b.idx, b.issuer, b.cents FROM certificate.statement_line b
		 WHERE b.idx = ANY ($1) AND b.item IN ('given', 'seen', 'further')
		   AND NOT EXISTS (SELECT FROM certificate.statement_line c WHERE c.of_idx = b.idx AND c.item = 'credit')`, stored)
	if err != nil {
		return nil, err
	}
	var l Line
	_, err = pgx.ForEachRow(rows, []any{&l.Index, &l.Issuer, &l.Cents}, func() error { out[l.Index] = l; return nil })
	return out, err
}

// store adds lines to a month.
func store(ctx context.Context, tx pgx.Tx, month time.Time, lines []Line) error {
	_, err := tx.CopyFrom(ctx, pgx.Identifier{"certificate", "statement_line"},
		[]string{"month", "idx", "issuer", "kind", "item", "basis", "reason", "day", "digest", "of_idx", "cents"},
		pgx.CopyFromSlice(len(lines), func(i int) ([]any, error) {
			l := lines[i]
			return []any{month, l.Index, l.Issuer, l.Kind, l.Item, l.Basis, l.Reason, l.Day, l.Digest, l.Of, l.Cents}, nil
		}))
	if err != nil {
		return fmt.Errorf("lines: %w", err)
	}
	return nil
}
