package waitingroom

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/audit"
	"impfportal/internal/pg"
)

// reservedIDs would be mistaken for pages.
var reservedIDs = []string{"new"}

// administration is what a replica keeps for the administrators' pages.
type administration struct {
	groups atomic.Pointer[[]string] // of routes that may be guarded; nil = not told
	noted  time.Time                // when the figures were written last; refresh only
}

// SetGroups tells which groups of routes there are to be guarded. Without it
// any group may be named.
func (s *Service) SetGroups(groups []string) {
	g := slices.Compact(slices.Sorted(slices.Values(groups)))
	s.admin.groups.Store(&g)
}

// knownGroups lists the groups of routes and those that a room names anyway.
func (s *Service) knownGroups(r Room) []string {
	var out []string
	if g := s.admin.groups.Load(); g != nil {
		out = append(out, *g...)
	}
	for _, g := range r.Groups {
		if !slices.Contains(out, g) {
			out = append(out, g)
		}
	}
	return out
}

// newRoom is a room as it begins: closed, with careful limits.
func newRoom(id string) Room {
	return Room{
		ID: id, Name: Text{}, Groups: []string{}, Phase: Closed, Rate: 600, Bound: 1000, PassLength: 30 * time.Minute, Grace: 2 * time.Minute,
		Message: Text{}, Beacon: NoBeacon, Hotline: 5, Invites: 40, Challenge: ChallengeAuto, Version: 1, Epoch: 1, Generation: 1,
	}
}

// CreateRoom makes a room, closed at first. It returns Problems for what cannot be.
// The lines of a room that had this id before go on counting, so that its
// tickets and passes do not come to life again.
func (s *Service) CreateRoom(ctx context.Context, actor, role, id string, c Settings) (Room, error) {
	r := newRoom(id)
	r.Name = nil
	if c.Name == nil {
		c.Name = Text{}
	}
	err := pg.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		var bad Problems
		if !validRoom(id) || slices.Contains(reservedIDs, id) {
			bad.add("id", "waitingroom.admin.error.id")
		}
		var err error
		var more Problems
		if r, err = r.with(c); err != nil && !errors.As(err, &more) {
			return err
		}
		bad = append(bad, more...)
		if err := s.checkGroups(ctx, tx, r, &bad); err != nil {
			return err
		}
		if err := bad.err(); err != nil {
			return err
		}
		return s.insertRoom(ctx, tx, deed{actor, role, "waitingroom.create"}, &r)
	})
	if err != nil {
		return Room{}, err
	}
	if err := s.Refresh(ctx); err != nil {
		s.log.Warn("room created, but the line does not answer yet", "room", id, "err", err)
	}
	return r, nil
}

func (s *Service) insertRoom(ctx context.Context, tx pgx.Tx, d deed, r *Room) error {
	err := tx.QueryRow(ctx, `
		SELECT greatest((SELECT max(epoch) FROM waitingroom.former WHERE room_id = $1), (SELECT max(epoch) FROM waitingroom.draw WHERE room_id = $1),
				(SELECT max(epoch) FROM waitingroom.pass WHERE room_id = $1), 0) + 1,
			coalesce((SELECT max(generation) FROM waitingroom.former WHERE room_id = $1), 0) + 1`, r.ID).Scan(&r.Epoch, &r.Generation)
	if err != nil {
		return err
	}
	name, err := json.Marshal(r.Name)
	if err != nil {
		return err
	}
	r.ChangedAt = s.roomNow()
	_, err = tx.Exec(ctx, `
		INSERT INTO waitingroom.room (id, name, groups, phase, rate_per_minute, active_bound, pass_seconds, grace_seconds, changed_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
		r.ID, name, r.Groups, r.Phase, r.Rate, r.Bound, int(r.PassLength.Seconds()), int(r.Grace.Seconds()), r.ChangedAt)
	if pg.Violates(err, "room_pkey") {
		return Problems{{Field: "id", Key: "waitingroom.admin.error.exists"}}
	}
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `INSERT INTO waitingroom.line (room_id, epoch, generation) VALUES ($1, $2, $3)`, r.ID, r.Epoch, r.Generation); err != nil {
		return err
	}
	before := *r
	before.Version--
	*r, err = s.save(ctx, tx, d, before, *r, r.ChangedAt)
	return err
}

// DeleteRoom removes a closed room. typed must be its id, as the administrator
// typed it: the groups of routes behind it are unguarded from then on, and its
// tickets are void. It returns ErrNoRoom or Problems.
func (s *Service) DeleteRoom(ctx context.Context, actor, role, roomID, typed string) error {
	err := pg.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		r, err := readRoom(ctx, tx, roomID, lockBoth)
		if err != nil {
			return err
		}
		var bad Problems
		if r.Phase != Closed {
			bad.add("phase", "waitingroom.admin.error.delete_open")
		}
		if typed != roomID {
			bad.add("typed", "waitingroom.admin.error.delete_typed")
		}
		if err := bad.err(); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `
			INSERT INTO waitingroom.former (room_id, epoch, generation, deleted_at) VALUES ($1, $2, $3, $4)
			ON CONFLICT (room_id) DO UPDATE SET epoch = excluded.epoch, generation = excluded.generation, deleted_at = excluded.deleted_at`,
			r.ID, r.Epoch, r.Generation, s.roomNow())
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `DELETE FROM waitingroom.room WHERE id = $1`, r.ID); err != nil {
			return err
		}
		return audit.Write(ctx, tx, s.now(), audit.Entry{Actor: actor, Role: role, Action: "waitingroom.delete", Subject: "room:" + r.ID, Before: r.auditView()})
	})
	if err != nil {
		return err
	}
	v := s.rooms.Load().views[roomID]
	if err := s.Refresh(ctx); err != nil {
		s.log.Warn("room deleted, but not everything answers", "room", roomID, "err", err)
	}
	if v != nil {
		// What is left in Redis is a few keys that a room of this id would build anew.
		if err := s.rdb.Del(ctx, v.lineKeys()...).Err(); err != nil {
			s.log.Warn("forget the line of a deleted room", "room", roomID, "err", err)
		}
	}
	return nil
}

// auditView is what audit keeps of a room.
type auditView struct {
	Phase      Phase      `json:"phase"`
	Rate       int        `json:"rate_per_minute"`
	Bound      int        `json:"active_bound"`
	Message    Text       `json:"message"`
	Epoch      int64      `json:"epoch"`
	Name       Text       `json:"name"`
	Groups     []string   `json:"groups"`
	Pass       int        `json:"pass_seconds"`
	Grace      int        `json:"grace_seconds"`
	Login      bool       `json:"login"`
	Draw       bool       `json:"draw"`
	Beacon     Beacon     `json:"beacon"`
	BeaconName string     `json:"beacon_name,omitempty"`
	PreQueue   *time.Time `json:"prequeue_from,omitempty"`
	OpensAt    *time.Time `json:"opens_at,omitempty"`
	ClosesAt   *time.Time `json:"closes_at,omitempty"`
	Hotline    int        `json:"hotline_percent"`
	Invites    int        `json:"invites_daily"`
	Challenge  Challenge  `json:"challenge"`
}

func (r Room) auditView() auditView {
	return auditView{
		r.Phase, r.Rate, r.Bound, r.Message, r.Epoch, r.Name, r.Groups, int(r.PassLength.Seconds()), int(r.Grace.Seconds()), r.Login, r.Draw,
		r.Beacon, r.BeaconName, r.Plan.PreQueueFrom, r.Plan.OpensAt, r.Plan.ClosesAt, r.Hotline, r.Invites, r.Challenge,
	}
}
