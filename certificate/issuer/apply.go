package issuer

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/audit"
	"impfportal/certificate/issuer/registry"
	"impfportal/internal/clock"
	"impfportal/internal/pg"
)

// The states of an entry.
const (
	entryListed = "listed"
	entryHeld   = "held"
	entryGone   = "gone"
)

// A list that loses more than lossShare of its entries, and more than lossFew,
// is taken for a mistake until somebody has looked, or the day is over.
const (
	lossFew   = 5
	lossShare = 0.05
	holdHour  = 23
	holdMin   = 45
)

// Why an issuer lost its ground, was paused or ended: codes of texts.
const (
	whyGone     = "gone"
	whyLicence  = "licence"
	whyChanged  = "changed"
	whyNotAsked = "not_asked"
	whyExpired  = "expired"
	whyAdmin    = "admin"
	whyAlarm    = "alarm" // with the alarm's name: "alarm.crowd"
)

// holdEnd is when a vanished entry takes effect by itself: still on the day on
// which it vanished.
func holdEnd(now time.Time) time.Time { return clock.At(clock.Day(now), holdHour, holdMin) }

// entries reads what stands in the list that holds.
func entries(ctx context.Context, q pg.Querier) (all map[string]registry.Entry, held map[string]bool, err error) {
	rows, err := q.Query(ctx, `
		SELECT id, name, street, postcode, city, kind, licence, region, keys, valid_from, valid_to, state = 'held'
		  FROM certificate.registry_entry WHERE state <> 'gone'`)
	if err != nil {
		return nil, nil, err
	}
	all, held = map[string]registry.Entry{}, map[string]bool{}
	var (
		e      registry.Entry
		to     *time.Time
		isHeld bool
	)
	_, err = pgx.ForEachRow(rows, []any{&e.ID, &e.Name, &e.Street, &e.Postcode, &e.City, &e.Kind, &e.Licence, &e.Region, &e.Keys, &e.From.Time, &to, &isHeld}, func() error {
		e.To.Time = time.Time{}
		if to != nil {
			e.To.Time = *to
		}
		e.Keys = slices.Clone(e.Keys)
		all[e.ID] = e
		if isHeld {
			held[e.ID] = true
		}
		return nil
	})
	return all, held, err
}

// apply writes what a list changes, and takes the ground away from the issuers
// concerned, in one transaction.
func (s *Service) apply(ctx context.Context, tx pgx.Tx, l registry.List, p *Pull) error {
	old, held, err := entries(ctx, tx)
	if err != nil {
		return err
	}
	c := registry.Compare(old, l)
	p.Added, p.Changed, p.Missing = len(c.Added), len(c.Changed), len(c.Missing)
	b := &pgx.Batch{}
	var other []string // entries that are not the same place any more
	for _, e := range c.Added {
		queueEntry(b, e, l.Sequence, p.At)
		queueChange(b, p, e.ID, "added", nil, &e)
	}
	// What comes back is another place until somebody proved otherwise, unless nothing of it changed.
	if other, err = s.returned(ctx, tx, c.Added); err != nil {
		return err
	}
	for _, x := range c.Changed {
		queueEntry(b, x.After, l.Sequence, p.At)
		queueChange(b, p, x.After.ID, "changed", &x.Before, &x.After)
		if !x.Before.Identity(x.After) {
			other = append(other, x.After.ID)
		}
	}
	state, what, until := entryGone, "missing", (*time.Time)(nil)
	if end := holdEnd(p.At); c.Implausible(lossFew, lossShare) && p.At.Before(end) {
		state, what, until, p.Held = entryHeld, "held", &end, len(c.Missing)
		s.Log.Error("registry lost too many entries at once", "missing", len(c.Missing), "of", c.Known, "hold_until", end)
	}
	for _, e := range c.Missing {
		b.Queue(`UPDATE certificate.registry_entry SET state = $2, hold_until = CASE WHEN $2 = 'held' THEN coalesce(hold_until, $3) END, sequence = $4, changed_at = $5 WHERE id = $1`,
			e.ID, state, until, l.Sequence, p.At)
		delete(held, e.ID)
		queueChange(b, p, e.ID, what, &e, nil)
	}
	if back := slices.Collect(maps.Keys(held)); len(back) > 0 {
		b.Queue(`UPDATE certificate.registry_entry SET state = 'listed', hold_until = NULL WHERE id = ANY ($1) AND state = 'held'`, back)
	}
	// The pull's row stands first: the changes refer to it.
	if err := store(ctx, tx, *p); err != nil {
		return err
	}
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return fmt.Errorf("apply registry: %w", err)
	}
	n, err := s.reopen(ctx, tx, other, p.At)
	if err != nil {
		return err
	}
	m, err := s.ground(ctx, tx, p.At)
	p.Suspended = n + m
	return err
}

// returned lists which of the added entries stood there before as another place.
func (s *Service) returned(ctx context.Context, tx pgx.Tx, added []registry.Entry) (other []string, err error) {
	ids := make([]string, len(added))
	by := make(map[string]registry.Entry, len(added))
	for i, e := range added {
		ids[i], by[e.ID] = e.ID, e
	}
	rows, err := tx.Query(ctx, `SELECT id, name, street, postcode, city, kind, keys FROM certificate.registry_entry WHERE id = ANY ($1)`, ids)
	if err != nil {
		return nil, err
	}
	var e registry.Entry
	_, err = pgx.ForEachRow(rows, []any{&e.ID, &e.Name, &e.Street, &e.Postcode, &e.City, &e.Kind, &e.Keys}, func() error {
		if !e.Identity(by[e.ID]) {
			other = append(other, e.ID)
		}
		return nil
	})
	return other, err
}

func queueEntry(b *pgx.Batch, e registry.Entry, sequence int64, now time.Time) {
	var to *time.Time
	if !e.To.IsZero() {
		to = &e.To.Time
	}
	b.Queue(`
		INSERT INTO certificate.registry_entry (id, state, name, street, postcode, city, kind, licence, region, keys, valid_from, valid_to, sequence, changed_at)
		VALUES ($1, 'listed', $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
		ON CONFLICT (id) DO UPDATE SET state = 'listed', hold_until = NULL, name = excluded.name, street = excluded.street, postcode = excluded.postcode, city = excluded.city,
			kind = excluded.kind, licence = excluded.licence, region = excluded.region, keys = excluded.keys, valid_from = excluded.valid_from,
			valid_to = excluded.valid_to, sequence = excluded.sequence, changed_at = excluded.changed_at`,
		e.ID, e.Name, e.Street, e.Postcode, e.City, e.Kind, e.Licence, e.Region, e.Keys, e.From.Time, to, sequence, now)
}

func queueChange(b *pgx.Batch, p *Pull, entryID, what string, before, after *registry.Entry) {
	b.Queue(`INSERT INTO certificate.registry_change (pull_id, entry_id, what, before, after, at) VALUES ($1, $2, $3, $4, $5, $6)`,
		p.ID, entryID, what, asJSON(before), asJSON(after), p.At)
}

func asJSON(e *registry.Entry) []byte {
	if e == nil {
		return nil
	}
	b, err := json.Marshal(e)
	if err != nil {
		panic(err) // plain fields
	}
	return b
}

// reopen suspends the issuers of entries that are not the same place any more: a
// code must come back from the new address before anybody reactivates them.
func (s *Service) reopen(ctx context.Context, tx pgx.Tx, entryIDs []string, now time.Time) (n int, err error) {
	if len(entryIDs) == 0 {
		return 0, nil
	}
	list, err := collect(ctx, tx, `WHERE i.entry_id = ANY ($1) AND i.state <> 'ended' ORDER BY i.id FOR UPDATE OF i`, entryIDs)
	if err != nil {
		return 0, err
	}
	for _, i := range list {
		if err := s.withdraw(ctx, tx, i, whyChanged, true, now); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// ground suspends the issuers that the registry does not carry (any more):
// vanished, without licence, outside their validity.
func (s *Service) ground(ctx context.Context, tx pgx.Tx, now time.Time) (n int, err error) {
	list, err := collect(ctx, tx, `
		WHERE i.state IN ('claimed', 'sent', 'proven', 'active', 'paused')
		  AND (e.state = 'gone' OR e.licence <> 'valid' OR e.valid_from > $1 OR e.valid_to < $1) ORDER BY i.id FOR UPDATE OF i`, today(now))
	if err != nil {
		return 0, err
	}
	for _, i := range list {
		why := whyLicence
		if i.EntryState == entryGone {
			why = whyGone
		}
		if err := s.withdraw(ctx, tx, i, why, false, now); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// withdraw takes the ground away from an issuer: who was active is suspended,
// who had only begun ends. The contact is told.
func (s *Service) withdraw(ctx context.Context, tx pgx.Tx, i Issuer, why string, reverify bool, now time.Time) error {
	if err := voidCode(ctx, tx, i.ID, now); err != nil {
		return err
	}
	switch i.State {
	case Suspended:
		_, err := tx.Exec(ctx, `UPDATE certificate.issuer SET reverify = reverify OR $2 WHERE id = $1`, i.ID, reverify)
		return err
	case Active, Paused:
		return s.move(ctx, tx, i, Suspended, why, reverify, "system", now)
	}
	return s.move(ctx, tx, i, Ended, why, false, "system", now)
}

// move changes an issuer's state, tells its contact, and writes it to audit and
// log. It is not for becoming active: that is two administrators' affair.
func (s *Service) move(ctx context.Context, tx pgx.Tx, i Issuer, state, why string, reverify bool, actor string, now time.Time) error {
	if _, err := tx.Exec(ctx, `UPDATE certificate.issuer SET state = $2, since = $3, why = $4, reverify = reverify OR $5 WHERE id = $1`,
		i.ID, state, now, why, reverify); err != nil {
		return fmt.Errorf("issuer %s to %s: %w", i.ID, state, err)
	}
	was := i.State
	i.State, i.Why, i.Since, i.Reverify = state, why, now, i.Reverify || reverify
	if err := audit.Write(ctx, tx, now, audit.Entry{
		Actor: actor, Action: "issuer." + state, Subject: i.Ref(), Before: map[string]any{"state": was}, After: map[string]any{"state": state, "why": why},
	}); err != nil {
		return err
	}
	if err := s.tell(ctx, tx, i, state == Suspended || state == Ended); err != nil {
		return err
	}
	if i.ActivatedAt != nil {
		return s.leaf(ctx, tx, i, "suspension", map[string]string{"state": state, "why": why}, now)
	}
	return nil
}

func (s *Service) leaf(ctx context.Context, tx pgx.Tx, i Issuer, kind string, detail map[string]string, now time.Time) error {
	if s.Leaf == nil {
		return nil
	}
	return s.Config.Leaf(ctx, tx, fmt.Sprintf("%s:%s:%d", kind, i.ID, now.UnixNano()), Leaf{Kind: kind, Issuer: i.Ref(), Day: today(now), Detail: detail})
}

// Look lets time take effect: vanished entries whose hold is over, and entries
// whose validity has ended. It returns how many issuers were suspended.
func (s *Service) Look(ctx context.Context, now time.Time) (n int, err error) {
	err = pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		if err := lockRegistry(ctx, tx); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `UPDATE certificate.registry_entry SET state = 'gone', hold_until = NULL, changed_at = $1 WHERE state = 'held' AND hold_until <= $1`, now); err != nil {
			return err
		}
		n, err = s.ground(ctx, tx, now)
		return err
	})
	return n, err
}

// Confirm lets vanished entries that are held take effect now; an administrator
// has looked. It returns ErrState when none is held.
func (s *Service) Confirm(ctx context.Context, actor string) (entries int64, suspended int, err error) {
	now := s.Now()
	err = pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		if err := lockRegistry(ctx, tx); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, `UPDATE certificate.registry_entry SET state = 'gone', hold_until = NULL, changed_at = $1 WHERE state = 'held'`, now)
		if err != nil {
			return err
		}
		if entries = tag.RowsAffected(); entries == 0 {
			return ErrState
		}
		if suspended, err = s.ground(ctx, tx, now); err != nil {
			return err
		}
		return audit.Write(ctx, tx, now, audit.Entry{
			Actor: actor, Role: "admin", Action: "registry.confirmed", Subject: "registry", After: map[string]any{"entries": entries, "suspended": suspended},
		})
	})
	return entries, suspended, err
}
