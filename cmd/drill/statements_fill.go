package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/certificate/translog"
	"impfportal/internal/clock"
	"impfportal/internal/id"
	"impfportal/internal/pg"
)

const (
	// Leaves of an issuer in a month: lognormal, so that half of them have about
	// half of the average, and a few some thousands.
	leavesMedian, leavesSpread = 32, 1.1
	// leavesAtOnce is how many leaves one transaction writes.
	leavesAtOnce = 500
	// everyAgain is which leaves of July something happens to in August.
	everyAgain = 20
	// heldCertificates are made by the certificate service itself.
	heldCertificates = 8
)

// billed is an issuer with its share of July.
type billed struct {
	id, pseudonym, kind string
	leaves              int
}

// loggedLeaf is what of a leaf is needed to correct it.
type loggedLeaf struct {
	issuer int
	basis  string
	digest []byte
}

// settle writes the issuers into the registry. They have ended, as some do: so
// nothing else that the worker does is about them, and their statements come all
// the same.
func (d *statements) settle(ctx context.Context, n int) error {
	rnd := rand.New(rand.NewPCG(1, 7)) //nolint:gosec // the same sizes in each run
	now := d.clock.now()
	entries, rows := make([][]any, n), make([][]any, n)
	return pg.InTx(ctx, d.p.env.Pool, func(tx pgx.Tx) error {
		key, err := d.p.env.Vault.NewKey(ctx, tx)
		if err != nil {
			return err
		}
		for i := range n {
			b := billed{id: id.New(), kind: "pharmacy", leaves: 1 + int(leavesMedian*math.Exp(leavesSpread*rnd.NormFloat64()))}
			if i%3 == 0 {
				b.kind = "practice"
			}
			b.pseudonym = d.p.Log.Pseudonym("issuer", "issuer:"+b.id)
			d.issuers = append(d.issuers, b)
			entry := fmt.Sprintf("D%08d", i)
			entries[i] = []any{entry, "gone", fmt.Sprintf("%s MUSTER %05d", b.kind, i), fmt.Sprintf("Musterweg %d", 1+i%99), "04109", "Leipzig", b.kind, "valid", "DE-SN", []string{}, july.AddDate(-1, 0, 0), 1, now}
			rows[i] = []any{b.id, entry, b.kind, "DE-SN", "ended", now, key.ID, key.Seal("drill", nil), "de", now, now, now}
		}
		// Two people with keys activate each; here the database is told so.
		if _, err := tx.Exec(ctx, `SET LOCAL session_replication_role = replica`); err != nil {
			return err
		}
		if _, err := tx.CopyFrom(ctx, pgx.Identifier{"certificate", "registry_entry"},
			[]string{"id", "state", "name", "street", "postcode", "city", "kind", "licence", "region", "keys", "valid_from", "sequence", "changed_at"}, pgx.CopyFromRows(entries)); err != nil {
			return err
		}
		_, err = tx.CopyFrom(ctx, pgx.Identifier{"certificate", "issuer"},
			[]string{"id", "entry_id", "kind", "region", "state", "since", "key_id", "contact", "lang", "created_at", "proven_at", "activated_at"}, pgx.CopyFromRows(rows))
		return err
	})
}

// fillJuly writes each issuer's leaves, mixed, and gives them their places.
func (d *statements) fillJuly(ctx context.Context, r *Report) error {
	var whose []int
	for i, b := range d.issuers {
		for range b.leaves {
			whose = append(whose, i)
		}
	}
	rnd := rand.New(rand.NewPCG(2, 7)) //nolint:gosec // the same mixture in each run
	rnd.Shuffle(len(whose), func(i, j int) { whose[i], whose[j] = whose[j], whose[i] })
	began := time.Now()
	var mu sync.Mutex
	err := d.write(ctx, len(whose), func(i int, put func(translog.Leaf) error) error {
		l := d.leaf(translog.KindCertificate, whose[i], july.AddDate(0, 0, i%31), i)
		if i%everyAgain == 0 {
			mu.Lock()
			d.again = append(d.again, loggedLeaf{whose[i], l.Detail["basis"], l.Digest})
			mu.Unlock()
		}
		return put(l)
	})
	if err != nil {
		return err
	}
	r.note("%d leaves of %d issuers in the log after %v", len(whose), len(d.issuers), time.Since(began).Round(time.Second))
	return nil
}

// fillAugust writes a calmer month, in which some of July is revoked or replaced.
func (d *statements) fillAugust(ctx context.Context, r *Report) error {
	const each = 3
	n := each * len(d.issuers)
	err := d.write(ctx, n, func(i int, put func(translog.Leaf) error) error {
		return put(d.leaf(translog.KindCertificate, i/each, august.AddDate(0, 0, i%31), i))
	})
	if err != nil {
		return err
	}
	err = d.write(ctx, len(d.again), func(i int, put func(translog.Leaf) error) error {
		for _, l := range d.correct(d.again[i], i) {
			if err := put(l); err != nil {
				return err
			}
		}
		return nil
	})
	r.note("%d leaves of another month, and corrections of %d of July's", n, len(d.again))
	return err
}

// correct is what happens to a leaf of July in August, in turn.
func (d *statements) correct(was loggedLeaf, i int) []translog.Leaf {
	day := august.AddDate(0, 0, i%31)
	revoke := func(issuer int, digest []byte, reason, replaced string) translog.Leaf {
		l := d.leaf(translog.KindRevocation, issuer, day, i)
		l.Digest, l.Detail = digest, map[string]string{"reason": reason}
		if replaced != "" {
			l.Detail["replaced"] = replaced
		}
		return l
	}
	again := func(issuer int) translog.Leaf {
		l := d.leaf(translog.KindReissue, issuer, day, i)
		delete(l.Detail, "further")
		l.Detail["basis"], l.Detail["replaces"] = was.basis, hex.EncodeToString(was.digest)
		return l
	}
	switch i % 5 {
	case 0:
		return []translog.Leaf{revoke(was.issuer, was.digest, "fraud", "")}
	case 1:
		return []translog.Leaf{revoke(was.issuer, was.digest, "corrected", "yes"), again(was.issuer)}
	case 2: // moved to another issuer, and void there
		other := (was.issuer + 1) % len(d.issuers)
		moved := again(other)
		return []translog.Leaf{revoke(was.issuer, was.digest, "corrected", "yes"), moved, revoke(other, moved.Digest, "record-void", "")}
	case 3:
		return []translog.Leaf{revoke(was.issuer, was.digest, "holder", "")}
	}
	return nil
}

// leaf is one as the certificate service writes it.
func (d *statements) leaf(kind string, issuer int, day time.Time, i int) translog.Leaf {
	b := d.issuers[issuer]
	seen := i%10 < 8
	if b.kind == "practice" {
		seen = i%10 < 2
	}
	certificate := id.New()
	digest := sha256.Sum256([]byte(certificate))
	l := translog.Leaf{
		Kind: kind, Subject: "certificate:" + certificate, Digest: digest[:], Issuer: b.pseudonym, Operator: b.pseudonym, Day: day,
		Detail: map[string]string{"kid": "0123456789abcdef", "basis": "given", "path": "web", "issuer_kind": b.kind},
	}
	if seen {
		l.Detail["basis"] = "seen"
		if i%7 == 0 {
			l.Detail["further"] = "yes"
		}
	}
	return l
}

// write lets fill put n leaves, or sets of leaves, into the log, and waits until they
// have their places.
func (d *statements) write(ctx context.Context, n int, fill func(i int, put func(translog.Leaf) error) error) error {
	err := together(ctx, (n+leavesAtOnce-1)/leavesAtOnce, 8, func(ctx context.Context, part int) error {
		return pg.InTx(ctx, d.p.env.Pool, func(tx pgx.Tx) error {
			put := func(l translog.Leaf) error {
				ref := l.Subject
				if l.Kind == translog.KindRevocation {
					ref = "revocation:" + id.New()
				}
				return d.p.Log.Append(ctx, tx, ref, l)
			}
			for i := part * leavesAtOnce; i < min(n, (part+1)*leavesAtOnce); i++ {
				if err := fill(i, put); err != nil {
					return err
				}
			}
			return nil
		})
	})
	if err != nil {
		return err
	}
	_, err = d.p.Log.Sequence(ctx)
	return err
}

// hold makes certificates that are in the log and cannot be handed out.
func (d *statements) hold(ctx context.Context) error {
	if err := askFor(ctx, d.p, heldCertificates); err != nil {
		return err
	}
	rows, err := d.p.env.Pool.Query(ctx, `SELECT id::text FROM vaccination.record WHERE issuer_ref LIKE 'issuer:drill-%'`)
	if err != nil {
		return err
	}
	records, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	for _, recordID := range records {
		if err := d.p.Certificate.Make(ctx, recordID); err != nil {
			return err
		}
	}
	if _, err := d.p.Log.Sequence(ctx); err != nil {
		return err
	}
	var n int
	if err := d.p.env.Pool.QueryRow(ctx, `SELECT count(*) FROM certificate.certificate WHERE state = 'logged'`).Scan(&n); err != nil {
		return err
	}
	if n != heldCertificates {
		return fmt.Errorf("%d of %d certificates wait to be handed out on %s", n, heldCertificates, clock.Day(d.clock.now()).Format(time.DateOnly))
	}
	return nil
}
