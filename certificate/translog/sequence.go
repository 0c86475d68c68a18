package translog

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"golang.org/x/mod/sumdb/tlog"

	"impfportal/internal/pg"
)

// sequenceLock keeps sequencers of several workers apart.
const sequenceLock = 0x746c6f67 // "tlog"

const (
	// batch is how many leaves one checkpoint takes in.
	batch = 2000
	// tellBatch is how many leaves OnSequenced gets at once.
	tellBatch = 1000
)

// ErrReader says that this process does not sequence: it has no private key of
// the log, or no witness file.
var ErrReader = errors.New("translog: this process has no key of the log or no witness file")

// Sequence gives every committed leaf its place: index, hashes, signed
// checkpoint, witness file, OnSequenced. It returns how many leaves got an index;
// 0 as well when another process is at it. Called again after an error or a
// crash it goes on where that stopped. ErrWitness and ErrDamaged mean that a
// person has to look; the alarm is written.
func (l *Log) Sequence(ctx context.Context) (n int, err error) {
	if !l.Key.Signs() || l.Witness == "" {
		return 0, ErrReader
	}
	for {
		if err := l.checkWitness(ctx); err != nil {
			return n, err
		}
		added, err := l.add(ctx)
		if err != nil {
			return n, l.alarmed(ctx, err)
		}
		n += added
		if err := l.tell(ctx); err != nil {
			return n, l.alarmed(ctx, err)
		}
		if added < batch {
			return n, nil
		}
	}
}

// alarmed writes an alarm for the errors that are one.
func (l *Log) alarmed(ctx context.Context, err error) error {
	var kind string
	switch {
	case errors.Is(err, ErrWitness):
		kind = AlarmWitness
	case errors.Is(err, ErrDamaged):
		kind = AlarmDamaged
	default:
		return err
	}
	return errors.Join(err, l.raise(ctx, kind, "", err.Error()))
}

// checkWitness holds the stored log against the last checkpoint of the witness
// file: that state must lie in it.
func (l *Log) checkWitness(ctx context.Context) error {
	last, ok, err := l.witness.latest()
	if err != nil {
		return l.alarmed(ctx, err)
	}
	now, err := l.newest(ctx, l.Pool)
	if err != nil {
		return l.alarmed(ctx, err)
	}
	if !ok {
		if now.Size == 0 {
			return nil
		}
		return l.raise(ctx, AlarmWitnessNew, fmt.Sprintf("%d", now.Size), "a new witness file begins: "+l.Witness)
	}
	return l.alarmed(ctx, l.contains(ctx, l.Pool, last, now))
}

// contains checks that the log in its state now is an extension of an earlier
// state.
func (l *Log) contains(ctx context.Context, q pg.Querier, earlier, now Checkpoint) error {
	if now.Size < earlier.Size {
		return fmt.Errorf("%w: it has %d leaves, the witness has seen %d", ErrWitness, now.Size, earlier.Size)
	}
	root, err := tlog.TreeHash(earlier.Size, stored{ctx, q})
	if err != nil {
		return err
	}
	if root != earlier.Root {
		return fmt.Errorf("%w: at %d leaves the root is %s, the witness has seen %s", ErrWitness, earlier.Size, root, earlier.Root)
	}
	return nil
}

// add sequences at most batch leaves in one transaction.
func (l *Log) add(ctx context.Context) (n int, err error) {
	err = pg.InTx(ctx, l.Pool, func(tx pgx.Tx) error {
		var mine bool
		if err := tx.QueryRow(ctx, `SELECT pg_try_advisory_xact_lock($1)`, sequenceLock).Scan(&mine); err != nil || !mine {
			return err
		}
		rows, err := tx.Query(ctx, `SELECT id, data FROM certificate.log_leaf WHERE idx IS NULL ORDER BY id LIMIT $1`, batch)
		if err != nil {
			return err
		}
		type open struct {
			ID   int64
			Data []byte
		}
		list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[open])
		if err != nil || len(list) == 0 {
			return err
		}
		tree, err := l.head(ctx, tx)
		if err != nil {
			return err
		}
		first := tlog.StoredHashCount(tree.Size())
		ids, indices := make([]int64, len(list)), make([]int64, len(list))
		var positions []int64
		var hashes [][]byte
		for i, leaf := range list {
			ids[i], indices[i] = leaf.ID, tree.Size()
			nodes, err := tree.Add(tlog.RecordHash(leaf.Data))
			if err != nil {
				return err
			}
			for _, h := range nodes {
				positions, hashes = append(positions, first+int64(len(positions))), append(hashes, h[:])
			}
		}
		if _, err := tx.Exec(ctx, `
			UPDATE certificate.log_leaf l SET idx = u.idx FROM unnest($1::bigint[], $2::bigint[]) AS u (id, idx) WHERE l.id = u.id`, ids, indices); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `
			INSERT INTO certificate.log_hash (pos, hash) SELECT * FROM unnest($1::bigint[], $2::bytea[])`, positions, hashes); err != nil {
			return err
		}
		n = len(list)
		return l.seal(ctx, tx, tree)
	})
	if err != nil {
		return 0, fmt.Errorf("sequence: %w", err)
	}
	return n, nil
}

// head reads the right edge of the log, and refuses when leaves, hashes and the
// newest checkpoint do not say the same.
func (l *Log) head(ctx context.Context, tx pgx.Tx) (*Tree, error) {
	now, err := l.newest(ctx, tx)
	if err != nil {
		return nil, err
	}
	var leaves, hashes int64
	err = tx.QueryRow(ctx, `
		SELECT coalesce((SELECT max(idx) + 1 FROM certificate.log_leaf), 0), coalesce((SELECT max(pos) + 1 FROM certificate.log_hash), 0)`).Scan(&leaves, &hashes)
	if err != nil {
		return nil, err
	}
	if leaves != now.Size || hashes != tlog.StoredHashCount(now.Size) {
		return nil, fmt.Errorf("%w: the newest checkpoint has %d leaves, the table %d", ErrDamaged, now.Size, leaves)
	}
	tree, err := readTree(now.Size, stored{ctx, tx})
	if err != nil {
		return nil, err
	}
	if now.Size == 0 {
		return tree, nil
	}
	root, err := tree.Root()
	if err != nil {
		return nil, err
	}
	if root != now.Root {
		return nil, fmt.Errorf("%w: the root of the stored hashes is not the one that was signed", ErrDamaged)
	}
	return tree, nil
}

// seal signs and stores the checkpoint.
func (l *Log) seal(ctx context.Context, tx pgx.Tx, tree *Tree) error {
	root, err := tree.Root()
	if err != nil {
		return err
	}
	c, err := l.Key.sign(tree.Size(), root)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `INSERT INTO certificate.log_checkpoint (size, root, note, made_at) VALUES ($1, $2, $3, $4)`, c.Size, c.Root[:], c.Note, l.Now())
	return err
}

// tell brings the witness file up to date and then tells the owners of the
// leaves that the witness covers.
func (l *Log) tell(ctx context.Context) error {
	var now Checkpoint
	var told int64
	now, err := l.newest(ctx, l.Pool)
	if err != nil {
		return err
	}
	if err := l.Pool.QueryRow(ctx, `SELECT upto FROM certificate.log_told`).Scan(&told); err != nil {
		return err
	}
	if now.Size > 0 {
		if err := l.witness.append(now); err != nil {
			return err
		}
	}
	for told < now.Size {
		if told, err = l.tellSome(ctx, now.Size); err != nil {
			return fmt.Errorf("leaves in the log: %w", err)
		}
	}
	return nil
}

func (l *Log) tellSome(ctx context.Context, upto int64) (told int64, err error) {
	err = pg.InTx(ctx, l.Pool, func(tx pgx.Tx) error {
		if err := tx.QueryRow(ctx, `SELECT upto FROM certificate.log_told FOR UPDATE`).Scan(&told); err != nil || told >= upto {
			return err
		}
		next := min(upto, told+tellBatch)
		rows, err := tx.Query(ctx, `SELECT ref FROM certificate.log_leaf WHERE idx >= $1 AND idx < $2 ORDER BY idx`, told, next)
		if err != nil {
			return err
		}
		refs, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return err
		}
		if int64(len(refs)) != next-told {
			return fmt.Errorf("%w: leaves between %d and %d are missing", ErrDamaged, told, next)
		}
		if l.OnSequenced != nil {
			if err := l.OnSequenced(ctx, tx, refs); err != nil {
				return err
			}
		}
		told = next
		_, err = tx.Exec(ctx, `UPDATE certificate.log_told SET upto = $1`, next)
		return err
	})
	return told, err
}
