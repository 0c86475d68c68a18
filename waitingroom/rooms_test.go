package waitingroom

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"
)

func fieldsOf(err error) (fields []string) {
	p, _ := problemFields(err)
	for _, f := range p {
		fields = append(fields, f.Field)
	}
	return fields
}

func TestSettings(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		room  Room
		set   Settings
		wrong []string
	}{
		"nothing":             {Room{Phase: Open}, Settings{}, nil},
		"all":                 {Room{Phase: Closed}, Settings{Name: Text{"de": "Raum", "en": "Room"}, Rate: ptr(1), Bound: ptr(MaxBound), Hotline: ptr(50), PassLength: ptr(time.Minute), Grace: ptr(time.Hour), Challenge: ptr(ChallengeOn), Login: ptr(true)}, nil},
		"names":               {Room{Phase: Open}, Settings{Name: Text{"de": " "}}, []string{"name_de", "name_en"}},
		"limits":              {Room{Phase: Open}, Settings{Rate: ptr(0), Bound: ptr(MaxBound + 1), Hotline: ptr(51), PassLength: ptr(time.Second), Grace: ptr(time.Second)}, []string{"rate_per_minute", "active_bound", "hotline_percent", "pass_minutes", "grace_seconds"}},
		"language":            {Room{Phase: Open}, Settings{Message: Text{"fr": "?"}}, []string{"message"}},
		"challenge":           {Room{Phase: Open}, Settings{Challenge: ptr(Challenge("x"))}, []string{"challenge"}},
		"login of an open":    {Room{Phase: Paused}, Settings{Login: ptr(true)}, []string{"login"}},
		"draw while it runs":  {Room{Phase: PreQueue}, Settings{Draw: ptr(true), Beacon: ptr(DrandBeacon)}, []string{"draw", "beacon"}},
		"the same as it runs": {Room{Phase: PreQueue, Draw: true}, Settings{Draw: ptr(true)}, nil},
		"lottery":             {Room{Phase: Closed}, Settings{Draw: ptr(true), Beacon: ptr(LotteryBeacon)}, []string{"beacon_name"}},
		"beacon":              {Room{Phase: Closed}, Settings{Beacon: ptr(Beacon("x"))}, []string{"beacon"}},
	} {
		if c.room.Beacon == "" {
			c.room.Beacon = NoBeacon
		}
		if _, err := c.room.with(c.set); !slices.Equal(fieldsOf(err), c.wrong) {
			t.Errorf("%s: %v, want %v", name, err, c.wrong)
		}
	}
}

var newNames = Text{"de": "Zweiter Raum", "en": "Second room"}

func TestRoomsComeAndGo(t *testing.T) {
	t.Parallel()
	f := setup(t, 3)
	ctx := context.Background()
	s := f.replicas[0]
	s.SetGroups([]string{"register", "hold", "extra", "extra"})
	create := func(id string, groups ...string) error {
		_, err := s.CreateRoom(ctx, "staff:test", "admin", id, Settings{Name: newNames, Groups: &groups})
		return err
	}
	for name, c := range map[string]struct {
		id     string
		groups []string
		wrong  string
	}{
		"new":     {"new", nil, "id"},
		"capital": {"Zwei", nil, "id"},
		"taken":   {"zwei", []string{"hold"}, "groups"},
		"unknown": {"zwei", []string{"nowhere"}, "groups"},
		"twice":   {room, nil, "id"},
	} {
		if got := fieldsOf(create(c.id, c.groups...)); !slices.Equal(got, []string{c.wrong}) {
			t.Errorf("%s: wrong is %v, want %s", name, got, c.wrong)
		}
	}
	if err := create("zwei", "extra"); err != nil {
		t.Fatal(err)
	}
	f.refresh(t)
	for i, s := range f.replicas {
		if v := s.rooms.Load().guard["extra"]; v == nil || v.id != "zwei" || v.known.Load().Phase != Closed {
			t.Errorf("replica %d: the new room guards nothing", i)
		}
	}
	set := func(phase Phase) {
		t.Helper()
		if _, err := s.SetValve(ctx, "staff:test", "admin", "zwei", Change{Phase: &phase}); err != nil {
			t.Fatal(err)
		}
		f.refresh(t)
	}
	set(Open)
	key, _ := HashKey(NewKey())
	ticket, err := f.replicas[1].Join(ctx, "zwei", key)
	if err != nil {
		t.Fatal(err)
	}
	pass := f.enter(t, f.replicas[2], ticket, Admitted)
	if got := fieldsOf(s.DeleteRoom(ctx, "staff:test", "admin", "zwei", "zwo")); !slices.Equal(got, []string{"phase", "typed"}) {
		t.Errorf("deleted while open: %v", got)
	}
	set(Closed)
	if err := s.DeleteRoom(ctx, "staff:test", "admin", "zwei", "zwei"); err != nil {
		t.Fatal(err)
	}
	f.refresh(t)
	for i, s := range f.replicas {
		if s.rooms.Load().guard["extra"] != nil {
			t.Errorf("replica %d still guards", i)
		}
		if _, _, err := s.Enter(ctx, ticket); !errors.Is(err, ErrNoRoom) {
			t.Errorf("replica %d: ticket of a deleted room: %v", i, err)
		}
	}
	var rows int
	if err := f.pool.QueryRow(ctx, `SELECT count(*) FROM waitingroom.pass WHERE room_id = 'zwei'`).Scan(&rows); err != nil || rows != 1 {
		t.Errorf("%d rows of admissions, %v", rows, err)
	}

	// The id is given again: tickets and passes of before stay dead.
	if err := create("zwei", "extra"); err != nil {
		t.Fatal(err)
	}
	set(Open)
	if _, _, err := f.replicas[1].Enter(ctx, ticket); !errors.Is(err, ErrVoid) {
		t.Errorf("ticket of the room of before: %v", err)
	}
	second, err := f.replicas[1].Join(ctx, "zwei", key)
	if err != nil || second.Index != 1 || second.Epoch != 2 {
		t.Fatalf("%+v, %v", second, err)
	}
	f.enter(t, f.replicas[1], second, Admitted)
	if err := s.Release(ctx, pass.ID()); err != nil {
		t.Error(err)
	}
	if err := s.DeleteRoom(ctx, "staff:test", "admin", "nowhere", "nowhere"); !errors.Is(err, ErrNoRoom) {
		t.Errorf("delete nothing: %v", err)
	}
}

func TestTwoAdministrators(t *testing.T) {
	t.Parallel()
	f := setup(t, 2)
	ctx := context.Background()
	version := f.replicas[0].rooms.Load().views[room].known.Load().Version
	if _, err := f.replicas[0].EditRoom(ctx, "staff:a", "admin", room, Settings{Bound: ptr(7), Version: version}); err != nil {
		t.Fatal(err)
	}
	if _, err := f.replicas[1].EditRoom(ctx, "staff:b", "admin", room, Settings{Bound: ptr(8), Version: version}); !errors.Is(err, ErrChanged) {
		t.Errorf("the second was not told: %v", err)
	}
}

// TestLoginBeginsANewLine: whose place a ticket is cannot change under it.
func TestLoginBeginsANewLine(t *testing.T) {
	t.Parallel()
	f := setup(t, 1)
	ctx := context.Background()
	s := f.replicas[0]
	f.valve(t, Change{Phase: ptr(Paused)})
	f.join(t, s)
	f.valve(t, Change{Phase: ptr(Closed)})
	if got := fieldsOf(second(s.EditRoom(ctx, "staff:a", "admin", room, Settings{Login: ptr(true)}))); !slices.Equal(got, []string{"end_line"}) {
		t.Errorf("the line ended silently: %v", got)
	}
	r, err := s.EditRoom(ctx, "staff:a", "admin", room, Settings{Login: ptr(true), EndLine: true})
	if err != nil || r.Epoch != 2 || !r.Login {
		t.Errorf("%+v, %v", r, err)
	}
}

func second[T any](_ T, err error) error { return err }

func TestMinutes(t *testing.T) {
	t.Parallel()
	f := setup(t, 2)
	ctx := context.Background()
	start := f.replicas[0].roomNow()
	// From the begin of a minute on.
	f.pass(t, start.Truncate(time.Minute).Add(time.Minute+time.Second).Sub(start))
	for range 3 {
		f.join(t, f.replicas[0])
	}
	f.pass(t, 10*time.Second)
	f.pass(t, time.Minute)
	f.enter(t, f.replicas[0], f.join(t, f.replicas[0]), Admitted)
	f.pass(t, 10*time.Second)
	minutes, err := f.replicas[1].Minutes(ctx, room, start.Add(30*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	if len(minutes) < 2 {
		t.Fatalf("%+v", minutes)
	}
	last := minutes[len(minutes)-2:]
	if last[0].Joins != 3 || last[0].Admissions != 0 || last[1].Joins != 1 || last[1].Admissions != 1 || last[1].Inside != 1 || last[1].Bound != 5000 {
		t.Errorf("%+v", last)
	}
	f.valve(t, Change{Phase: ptr(Closed)})
	f.valve(t, Change{NewLine: true})
	f.pass(t, time.Minute)
	minutes, err = f.replicas[1].Minutes(ctx, room, f.replicas[0].roomNow())
	if err != nil || len(minutes) != 1 || minutes[0].Joins != 0 || minutes[0].Epoch != 2 || minutes[0].Phase != Closed {
		t.Errorf("a new line: %+v, %v", minutes, err)
	}
}
