package waitingroom

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
)

// Settings is what an administrator sets of a room beside its valve; nil leaves
// as it is.
type Settings struct {
	Name       Text
	Groups     *[]string
	Login      *bool
	Draw       *bool
	Beacon     *Beacon
	BeaconName *string
	PassLength *time.Duration
	Grace      *time.Duration
	Rate       *int
	Bound      *int
	Hotline    *int
	Invites    *int
	Challenge  *Challenge
	Message    Text // nil = unchanged, {} = none

	// EndLine says that those who stand in line may lose their places by the change.
	EndLine bool
	// Version is what the administrator had before their eyes; 0 = do not compare.
	Version int64
}

// Limits of what the administration may set; the table has the same.
const (
	MinPass, MaxPass   = time.Minute, 24 * time.Hour
	MinGrace, MaxGrace = 10 * time.Second, time.Hour
	MaxHotline         = 50 // percent
	MaxInvites         = 1000
	MaxName            = 80  // characters per language
	MaxBeaconName      = 200 // characters
)

// ErrChanged says that somebody else has changed the room meanwhile.
var ErrChanged = errors.New("waitingroom: the room was changed meanwhile")

// with returns the room with other settings, or Problems. What concerns other
// rooms or the line is not its business.
func (r Room) with(c Settings) (Room, error) {
	var bad Problems
	r.setTexts(c, &bad)
	number := func(dst *int, src *int, low, high int, field string) {
		if src == nil {
			return
		}
		if *src < low || *src > high {
			bad.add(field, "waitingroom.admin.error.range", "Low", low, "High", high)
			return
		}
		*dst = *src
	}
	number(&r.Rate, c.Rate, 1, MaxRate, "rate_per_minute")
	number(&r.Bound, c.Bound, 1, MaxBound, "active_bound")
	number(&r.Hotline, c.Hotline, 0, MaxHotline, "hotline_percent")
	number(&r.Invites, c.Invites, 0, MaxInvites, "invites_daily")
	if d := c.PassLength; d != nil {
		if *d < MinPass || *d > MaxPass {
			bad.add("pass_minutes", "waitingroom.admin.error.range", "Low", int(MinPass.Minutes()), "High", int(MaxPass.Minutes()))
		} else {
			r.PassLength = d.Truncate(time.Second)
		}
	}
	if d := c.Grace; d != nil {
		if *d < MinGrace || *d > MaxGrace {
			bad.add("grace_seconds", "waitingroom.admin.error.range", "Low", int(MinGrace.Seconds()), "High", int(MaxGrace.Seconds()))
		} else {
			r.Grace = d.Truncate(time.Second)
		}
	}
	if c.Challenge != nil {
		if !slices.Contains([]Challenge{ChallengeAuto, ChallengeOn, ChallengeOff}, *c.Challenge) {
			bad.add("challenge", "waitingroom.admin.error.choice")
		}
		r.Challenge = *c.Challenge
	}
	if c.Groups != nil {
		r.Groups = append([]string{}, slices.Compact(slices.Sorted(slices.Values(*c.Groups)))...) // never NULL
	}
	r.setDraw(c, &bad)
	return r, bad.err()
}

func (r *Room) setTexts(c Settings, bad *Problems) {
	set := func(dst *Text, src Text, field string, most int, key string, needed bool) {
		out := Text{}
		for _, lang := range slices.Sorted(maps.Keys(src)) {
			switch text := src[lang]; {
			case lang != "de" && lang != "en":
				bad.add(field, "waitingroom.admin.error.language")
			case utf8.RuneCountInString(text) > most:
				bad.add(field+"_"+lang, key)
			case strings.TrimSpace(text) != "":
				out[lang] = strings.TrimSpace(text)
			}
		}
		for _, lang := range []string{"de", "en"} {
			if needed && out[lang] == "" && utf8.RuneCountInString(src[lang]) <= most {
				bad.add(field+"_"+lang, "waitingroom.admin.error.name_missing")
			}
		}
		*dst = out
	}
	if c.Name != nil {
		set(&r.Name, c.Name, "name", MaxName, "waitingroom.admin.error.name_long", true)
	}
	if c.Message != nil {
		set(&r.Message, c.Message, "message", MaxMessage, "waitingroom.admin.error.message", false)
	}
}

// setDraw sets how places are ordered and who gets one. Once people hold places
// of a pre-queue, its terms stay.
func (r *Room) setDraw(c Settings, bad *Problems) {
	old := *r
	if c.Login != nil {
		r.Login = *c.Login
	}
	if c.Draw != nil {
		r.Draw = *c.Draw
	}
	if c.Beacon != nil {
		r.Beacon = *c.Beacon
	}
	if c.BeaconName != nil {
		r.BeaconName = strings.TrimSpace(*c.BeaconName)
	}
	if old.begun() {
		for _, f := range []struct {
			field   string
			changed bool
		}{{"login", r.Login != old.Login}, {"draw", r.Draw != old.Draw}, {"beacon", r.Beacon != old.Beacon}, {"beacon_name", r.BeaconName != old.BeaconName}} {
			if f.changed {
				bad.add(f.field, "waitingroom.plan.error.fixed")
			}
		}
		return
	}
	if r.Login != old.Login && (old.Phase == Open || old.Phase == Paused) {
		bad.add("login", "waitingroom.admin.error.login_open")
	}
	if !slices.Contains([]Beacon{NoBeacon, LocalBeacon, DrandBeacon, LotteryBeacon}, r.Beacon) {
		bad.add("beacon", "waitingroom.admin.error.choice")
	}
	switch {
	case utf8.RuneCountInString(r.BeaconName) > MaxBeaconName:
		bad.add("beacon_name", "waitingroom.plan.error.beacon_long")
	case r.Draw && r.Beacon == LotteryBeacon && r.BeaconName == "":
		bad.add("beacon_name", "waitingroom.plan.error.beacon_name")
	}
}

// withSettings decides on the room as it is under its lock, with what concerns
// other rooms and the line. plan is the one that will hold beside the settings.
func (s *Service) withSettings(ctx context.Context, tx pgx.Tx, before Room, c Settings, plan Plan, waiting int64) (Room, error) {
	if c.Version != 0 && c.Version != before.Version {
		return before, ErrChanged
	}
	after, err := before.with(c)
	var bad Problems
	if err != nil && !errors.As(err, &bad) {
		return before, err
	}
	if c.Groups != nil {
		if err := s.checkGroups(ctx, tx, after, &bad); err != nil {
			return before, err
		}
	}
	if !before.begun() && (after.Draw != before.Draw || after.Beacon != before.Beacon || after.BeaconName != before.BeaconName || after.Login != before.Login) {
		open, err := undrawn(ctx, tx, before)
		if err != nil {
			return before, err
		}
		if open && plan.PreQueueFrom == nil {
			bad.add("draw", "waitingroom.plan.error.fixed")
		}
	}
	if after.Login != before.Login && len(bad) == 0 {
		// Whose place is it, the browser's or the person's? Only a new line can
		// begin with another answer.
		if waiting > 0 && !c.EndLine {
			bad.add("end_line", "waitingroom.plan.error.end_line")
		}
		after.Epoch++
		after.Generation++
	}
	return after, bad.err()
}

// groupsLock is the lock that keeps two administrators from giving one route
// group to two rooms at the same moment.
const groupsLock = 0x77726772 // "wrgr"

// checkGroups: a route group has one room in front of it.
func (s *Service) checkGroups(ctx context.Context, tx pgx.Tx, r Room, bad *Problems) error {
	known := s.admin.groups.Load()
	for _, g := range r.Groups {
		if known != nil && !slices.Contains(*known, g) {
			bad.add("groups", "waitingroom.admin.error.group_unknown", "Group", g)
		}
	}
	if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, groupsLock); err != nil {
		return err
	}
	rows, err := tx.Query(ctx, `
		SELECT g, r.id FROM waitingroom.room r, unnest(r.groups) g WHERE r.id <> $1 AND g = ANY($2) ORDER BY g`, r.ID, r.Groups)
	if err != nil {
		return err
	}
	var group, owner string
	_, err = pgx.ForEachRow(rows, []any{&group, &owner}, func() error {
		bad.add("groups", "waitingroom.admin.error.group_taken", "Group", group, "Room", owner)
		return nil
	})
	return err
}

// EditRoom changes settings of a room. It returns ErrNoRoom, ErrChanged, or
// Problems.
func (s *Service) EditRoom(ctx context.Context, actor, role, roomID string, c Settings) (Room, error) {
	waiting := s.waiting(roomID)
	return s.alter(ctx, deed{actor, role, "waitingroom.settings"}, roomID, func(tx pgx.Tx, r Room) (Room, error) {
		return s.withEdit(ctx, tx, r, c, waiting)
	})
}

// withEdit is withSettings beside the plan that there is.
func (s *Service) withEdit(ctx context.Context, tx pgx.Tx, before Room, c Settings, waiting int64) (Room, error) {
	r, err := s.withSettings(ctx, tx, before, c, before.Plan, waiting)
	if err == nil && r.Draw && !r.begun() && r.Plan.OpensAt != nil && r.Plan.PreQueueFrom == nil {
		return r, Problems{{Field: "draw", Key: "waitingroom.plan.error.draw_needs"}}
	}
	return r, err
}

// problemFields returns what is wrong by field, for errors of this file, of
// plan.go and of the valve; ok is false for other errors.
func problemFields(err error) (p Problems, ok bool) {
	if errors.As(err, &p) {
		return p, true
	}
	var one FieldProblem
	if errors.As(err, &one) {
		p.add(one.Field, one.Key)
		return p, true
	}
	return nil, false
}
