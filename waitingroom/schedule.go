package waitingroom

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/audit"
	"impfportal/internal/pg"
	"impfportal/internal/web"
)

// deed says who changes a room, in which role, and as what audit knows it.
type deed struct{ actor, role, action string }

// byItself is the deed of a plan.
var byItself = deed{actor: "system", role: "system", action: "waitingroom.plan.step"}

// SetPlan plans an opening, moves or cancels it (a plan without times), and
// with it sets what c names. It returns Problems for what cannot be; who stands
// in a line that the plan would end is such a problem unless c.EndLine says
// that this is meant.
func (s *Service) SetPlan(ctx context.Context, actor, role, roomID string, p Plan, c Settings) (Room, error) {
	waiting := s.waiting(roomID)
	return s.alter(ctx, deed{actor, role, "waitingroom.plan"}, roomID, func(tx pgx.Tx, r Room) (Room, error) {
		return s.withPlan(ctx, tx, r, p, c, waiting)
	})
}

// withPlan decides SetPlan on the room as it is under its lock.
func (s *Service) withPlan(ctx context.Context, tx pgx.Tx, r Room, p Plan, c Settings, waiting int64) (Room, error) {
	before := r.Plan
	around, err := bypasses(ctx, tx, r, p)
	if err != nil {
		return r, err
	}
	r, err = s.withSettings(ctx, tx, r, c, p, waiting)
	var bad Problems
	if err != nil && !errors.As(err, &bad) {
		return r, err
	}
	after, err := r.planned(p, s.roomNow())
	var more Problems
	if err != nil && !errors.As(err, &more) {
		return r, err
	}
	if around && !slices.ContainsFunc(more, func(f web.FieldError) bool { return f.Field == "prequeue_from" }) {
		more.add("prequeue_from", "waitingroom.plan.error.undrawn")
	}
	if len(more) == 0 && endsLine(before, after.Plan) && waiting > 0 && !c.EndLine {
		more.add("end_line", "waitingroom.plan.error.end_line")
	}
	for _, f := range more {
		bad.add(f.Field, f.Key, f.Args...)
	}
	return after, bad.err()
}

// bypasses reports whether a plan would open the room's line although the draw of
// its pre-queue is not over. Such a line opens by hand, through its draw, or a new
// one begins.
func bypasses(ctx context.Context, tx pgx.Tx, r Room, p Plan) (bool, error) {
	if p.OpensAt == nil || p.PreQueueFrom != nil || r.begun() {
		return false, nil
	}
	return undrawn(ctx, tx, r)
}

// endsLine reports whether a changed plan ends the present line at another time
// than the one before.
func endsLine(before, after Plan) bool {
	return after.PreQueueFrom != nil && !sameTime(before.PreQueueFrom, after.PreQueueFrom)
}

// waiting is how many people this replica knows of who hold a place and are not
// inside; at most about a second old.
func (s *Service) waiting(roomID string) int64 {
	v := s.rooms.Load().views[roomID]
	if v == nil {
		return 0
	}
	if f := v.line.Load(); f != nil && f.epoch == v.known.Load().Epoch {
		return f.Waiting + f.Invited + f.Behind
	}
	return 0
}

// followPlans takes the steps that are due. Every replica tries; the lock on
// the room's row and a second look under it make each step happen once.
func (s *Service) followPlans(ctx context.Context) error {
	now := s.roomNow()
	var errs []error
	for id, v := range s.rooms.Load().views {
		if _, due := v.known.Load().due(now); !due {
			continue
		}
		if err := s.catchUp(ctx, v, now); err != nil {
			errs = append(errs, fmt.Errorf("plan of room %s: %w", id, err))
		}
	}
	return errors.Join(errs...)
}

// catchUp takes all steps of one room that are due, in their order.
func (s *Service) catchUp(ctx context.Context, v *view, now time.Time) error {
	var r Room
	err := pg.InTx(ctx, s.pool, func(tx pgx.Tx) (err error) {
		if r, err = readRoom(ctx, tx, v.id, lockBoth); err != nil {
			return err
		}
		for {
			next, ok := r.step(now)
			if !ok {
				return nil
			}
			if next.Phase == Open {
				open, err := undrawn(ctx, tx, r)
				if err != nil {
					return err
				}
				next = r.opened(next, open)
			}
			if r, err = s.save(ctx, tx, byItself, r, next, now); err != nil {
				return err
			}
			s.log.Info("planned", "room", r.ID, "phase", r.Phase, "epoch", r.Epoch)
		}
	})
	if errors.Is(err, ErrNoRoom) {
		return nil // deleted meanwhile
	}
	if err != nil {
		return err
	}
	v.learn(r)
	return nil
}

// nextPlanned returns the next moment after now at which a plan takes a step;
// zero when there is none.
func (s *Service) nextPlanned(now time.Time) time.Time {
	var next time.Time
	for _, v := range s.rooms.Load().views {
		if _, at := v.known.Load().nextStep(); at.After(now) && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	return next
}

// alter changes a room under its lock, writes the audit entry with it, and
// makes this replica follow at once; the others follow within a second, and
// their door refuses to work on the old setting as soon as Redis knows of the
// new one. fn decides on the room as it is then.
func (s *Service) alter(ctx context.Context, d deed, roomID string, fn func(tx pgx.Tx, r Room) (Room, error)) (Room, error) {
	var after Room
	err := pg.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		before, err := readRoom(ctx, tx, roomID, lockBoth)
		if err != nil {
			return err
		}
		if after, err = fn(tx, before); err != nil {
			return err
		}
		after, err = s.save(ctx, tx, d, before, after, s.roomNow())
		return err
	})
	if err != nil {
		return Room{}, err
	}
	if err := s.Refresh(ctx); err != nil {
		s.log.Warn("set, but the line does not answer yet", "room", roomID, "err", err)
	}
	return after, nil
}

// save writes what has changed of a locked room as its next version, a new line
// if it began one, and the audit entry.
func (s *Service) save(ctx context.Context, tx pgx.Tx, d deed, before, after Room, now time.Time) (Room, error) {
	after.Version, after.ChangedAt = before.Version+1, now
	name, err := json.Marshal(after.Name)
	if err != nil {
		return Room{}, err
	}
	message, err := json.Marshal(after.Message)
	if err != nil {
		return Room{}, err
	}
	_, err = tx.Exec(ctx, `
		UPDATE waitingroom.room SET name = $2, groups = $3, phase = $4, rate_per_minute = $5, active_bound = $6, pass_seconds = $7, grace_seconds = $8,
			message = $9, login = $10, draw = $11, beacon = $12, beacon_name = $13, prequeue_from = $14, opens_at = $15, closes_at = $16,
			hotline_percent = $17, challenge = $18, version = $19, changed_at = $20, invites_daily = $21
		WHERE id = $1`,
		after.ID, name, after.Groups, after.Phase, after.Rate, after.Bound, int(after.PassLength.Seconds()), int(after.Grace.Seconds()),
		message, after.Login, after.Draw, after.Beacon, after.BeaconName, after.Plan.PreQueueFrom, after.Plan.OpensAt, after.Plan.ClosesAt,
		after.Hotline, after.Challenge, after.Version, after.ChangedAt, after.Invites)
	if err != nil {
		return Room{}, err
	}
	if after.Epoch != before.Epoch {
		_, err = tx.Exec(ctx, `
			UPDATE waitingroom.line SET epoch = $2, generation = $3, ceiling = 0, issued = 0, serving = 0, behind_ceiling = 0, behind_serving = 0, gaps = '[]'
			WHERE room_id = $1`, after.ID, after.Epoch, after.Generation)
		if err != nil {
			return Room{}, err
		}
	}
	if err := s.followDraw(ctx, tx, before, after); err != nil {
		return Room{}, err
	}
	e := audit.Entry{Actor: d.actor, Role: d.role, Action: d.action, Subject: "room:" + after.ID, After: after.auditView()}
	if before.Version > 0 {
		e.Before = before.auditView()
	}
	return after, audit.Write(ctx, tx, s.now(), e)
}

// draws reports whether the room's plan brings a pre-queue whose order will be
// drawn.
func (r Room) draws() bool { return r.Draw && r.Plan.PreQueueFrom != nil }

// followDraw keeps the commitment of the coming draw in step with the plan:
// made with it, made anew when what it names changes, gone with it.
func (s *Service) followDraw(ctx context.Context, tx pgx.Tx, before, after Room) error {
	if after.Epoch > before.Epoch && !(before.draws() && after.Phase == PreQueue) {
		// A new line that no pre-queue begins: what was committed for it is void.
		if err := dropDraw(ctx, tx, after.ID, after.Epoch); err != nil {
			return err
		}
	}
	switch {
	case after.draws() && (!before.draws() || before.Epoch != after.Epoch || !sameTime(before.Plan.OpensAt, after.Plan.OpensAt) ||
		before.Beacon != after.Beacon || before.BeaconName != after.BeaconName):
		return s.commitDraw(ctx, tx, after, after.Epoch+1)
	case before.draws() && !after.draws() && after.Epoch == before.Epoch:
		return dropDraw(ctx, tx, after.ID, after.Epoch+1)
	case after.Draw && after.Phase == PreQueue && before.Phase == PreQueue && !sameTime(before.Plan.OpensAt, after.Plan.OpensAt):
		return s.commitDraw(ctx, tx, after, after.Epoch) // opens later, so its beacon comes later
	}
	return nil
}

// dropDraw forgets the draw of a line in which nobody took part.
func dropDraw(ctx context.Context, tx pgx.Tx, roomID string, epoch int64) error {
	_, err := tx.Exec(ctx, `DELETE FROM waitingroom.draw WHERE room_id = $1 AND epoch = $2 AND closed_at IS NULL`, roomID, epoch)
	return err
}

// undrawn reports whether the room's line began with a pre-queue whose draw is
// not over.
func undrawn(ctx context.Context, q pg.Querier, r Room) (bool, error) {
	if r.Draw && r.begun() {
		return true, nil
	}
	var open bool
	err := q.QueryRow(ctx, `
		SELECT count(*) > 0 AND count(revealed_at) = 0 FROM waitingroom.draw WHERE room_id = $1 AND epoch = $2`, r.ID, r.Epoch).Scan(&open)
	return open, err
}

// withValve decides [Service.SetValve] on the room as it is under its lock.
func withValve(ctx context.Context, tx pgx.Tx, before Room, c Change) (Room, error) {
	after, err := before.Apply(c)
	if err != nil || after.Phase == before.Phase {
		return after, err
	}
	open, err := undrawn(ctx, tx, before)
	if err != nil {
		return before, err
	}
	to := after.Phase
	after.Phase = before.Phase
	return after.byHand(to, open)
}
