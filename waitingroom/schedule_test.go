package waitingroom

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"impfportal/internal/web"
)

// plan sets a plan by distances from now; 0 = none.
func (f *fixture) plan(t *testing.T, preQueue, opens, closes time.Duration, c Settings) Room {
	t.Helper()
	r, err := f.tryPlan(preQueue, opens, closes, c)
	if err != nil {
		t.Fatalf("plan: %v", err)
	}
	f.refresh(t)
	return r
}

func (f *fixture) tryPlan(preQueue, opens, closes time.Duration, c Settings) (Room, error) {
	now := f.replicas[0].roomNow()
	at := func(d time.Duration) *time.Time {
		if d == 0 {
			return nil
		}
		return ptr(now.Add(d))
	}
	return f.replicas[0].SetPlan(context.Background(), "staff:test", "admin", room, Plan{at(preQueue), at(opens), at(closes)}, c)
}

// phases returns the room's phase in every replica.
func (f *fixture) phases() (out []Phase) {
	for _, s := range f.replicas {
		out = append(out, s.rooms.Load().views[room].known.Load().Phase)
	}
	return out
}

func (f *fixture) wantPhase(t *testing.T, want Phase) {
	t.Helper()
	for i, p := range f.phases() {
		if p != want {
			t.Fatalf("replica %d: %s, want %s", i, p, want)
		}
	}
}

// steps lists what the plan did, as audit knows it.
func (f *fixture) steps(t *testing.T) (phases []string) {
	t.Helper()
	rows, err := f.pool.Query(context.Background(), `SELECT after->>'phase' FROM audit.entry WHERE action = 'waitingroom.plan.step' AND actor = 'system' ORDER BY id`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var p string
		if err := rows.Scan(&p); err != nil {
			t.Fatal(err)
		}
		phases = append(phases, p)
	}
	return phases
}

func (f *fixture) wantSteps(t *testing.T, want ...Phase) {
	t.Helper()
	got := f.steps(t)
	if len(got) != len(want) {
		t.Fatalf("steps %v, want %v", got, want)
	}
	for i := range want {
		if got[i] != string(want[i]) {
			t.Fatalf("steps %v, want %v", got, want)
		}
	}
}

// TestPlannedOpening goes through a whole opening with three replicas that look
// in the same moment: each step happens once.
func TestPlannedOpening(t *testing.T) {
	t.Parallel()
	f := setup(t, 3)
	f.valve(t, Change{Phase: ptr(Closed)})
	f.plan(t, 10*time.Minute, 40*time.Minute, 5*time.Hour, Settings{})
	f.wantPhase(t, Scheduled)
	if _, err := f.replicas[1].Join(context.Background(), room, KeyHash{}); !errors.Is(err, ErrNotTaking) {
		t.Errorf("joined a scheduled room: %v", err)
	}
	all := func(d time.Duration) {
		t.Helper()
		f.shift.Add(int64(d))
		var wg sync.WaitGroup
		for _, s := range f.replicas {
			wg.Go(func() {
				if err := s.Refresh(context.Background()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		f.refresh(t)
	}
	all(9 * time.Minute)
	f.wantPhase(t, Scheduled)
	all(61 * time.Second)
	f.wantPhase(t, PreQueue)
	f.wantSteps(t, PreQueue)
	first := f.join(t, f.replicas[0])
	if first.Index != 1 || first.Epoch != 2 {
		t.Errorf("the first place of the new line is %d of line %d", first.Index, first.Epoch)
	}
	f.enter(t, f.replicas[1], first, Shut)
	all(30 * time.Minute)
	f.wantPhase(t, Open)
	f.refresh(t)
	f.enter(t, f.replicas[2], first, Admitted)
	all(5 * time.Hour)
	f.wantPhase(t, Closed)
	f.wantSteps(t, PreQueue, Open, Closed)
	if r := f.replicas[0].rooms.Load().views[room].known.Load(); !r.Plan.Empty() {
		t.Errorf("left of the plan: %+v", r.Plan)
	}
}

// TestPlanCatchesUp: nobody runs during the whole opening.
func TestPlanCatchesUp(t *testing.T) {
	t.Parallel()
	f := setup(t, 3)
	f.valve(t, Change{Phase: ptr(Closed)})
	f.plan(t, 10*time.Minute, 40*time.Minute, 5*time.Hour, Settings{})
	f.pass(t, 24*time.Hour)
	f.wantPhase(t, Closed)
	f.wantSteps(t, PreQueue, Open, Closed)
	if r := f.replicas[2].rooms.Load().views[room].known.Load(); r.Epoch != 2 {
		t.Errorf("line %d", r.Epoch)
	}
}

// TestPlanOfAnOpenRoom: the line that a plan would end is told, and asked about.
func TestPlanOfAnOpenRoom(t *testing.T) {
	t.Parallel()
	f := setup(t, 2)
	f.valve(t, Change{Bound: ptr(1)})
	s := f.replicas[1]
	f.enter(t, s, f.join(t, s), Admitted)
	f.pass(t, 2*time.Minute) // invitations may run ahead: let it settle
	var waiting []Ticket
	for range 8 {
		waiting = append(waiting, f.join(t, s))
	}
	f.refresh(t)
	_, err := f.tryPlan(time.Hour, 2*time.Hour, 0, Settings{})
	var bad Problems
	if !errors.As(err, &bad) || bad[0].Field != "end_line" {
		t.Fatalf("the line would end silently: %v", err)
	}
	f.plan(t, time.Hour, 2*time.Hour, 0, Settings{EndLine: true})
	f.wantPhase(t, Open)
	if st, err := s.State(room); err != nil || st.PreQueueFrom == nil {
		t.Errorf("the line is not told when it ends: %+v, %v", st, err)
	}
	// Only the closing is new: nobody is asked again.
	f.plan(t, time.Hour, 2*time.Hour, 3*time.Hour, Settings{EndLine: true})
	f.valve(t, Change{Phase: ptr(Paused)})
	f.pass(t, time.Hour+time.Second)
	f.wantPhase(t, PreQueue)
	if _, _, err := s.Enter(context.Background(), waiting[7]); !errors.Is(err, ErrVoid) {
		t.Errorf("a ticket of the line before: %v", err)
	}
}

// TestPauseDoesNotStopClosing, and a closing by hand takes the rest of the plan
// with it.
func TestPauseDoesNotStopClosing(t *testing.T) {
	t.Parallel()
	f := setup(t, 3)
	f.plan(t, 0, 0, time.Hour, Settings{})
	f.valve(t, Change{Phase: ptr(Paused)})
	f.pass(t, time.Hour)
	f.wantPhase(t, Closed)
	f.plan(t, 0, time.Hour, 0, Settings{})
	f.wantPhase(t, Scheduled)
	f.valve(t, Change{Phase: ptr(Open)})
	f.pass(t, time.Minute)
	f.valve(t, Change{Phase: ptr(Closed)})
	f.pass(t, 2*time.Hour)
	f.wantPhase(t, Closed)
	f.wantSteps(t, Closed)
}

// TestDrawnOpening: the draw is committed with the plan, gone with it, and never
// skipped, whatever is done by hand.
func TestDrawnOpening(t *testing.T) {
	t.Parallel()
	f := setup(t, 1)
	ctx := context.Background()
	draws := func() (n int, epoch int64) {
		t.Helper()
		if err := f.pool.QueryRow(ctx, `SELECT count(*), coalesce(max(epoch), 0) FROM waitingroom.draw`).Scan(&n, &epoch); err != nil {
			t.Fatal(err)
		}
		return n, epoch
	}
	drawn := Settings{Draw: ptr(true), Beacon: ptr(LotteryBeacon), BeaconName: ptr("Lotto am Mittwoch, 13.01.2021")}
	f.valve(t, Change{Phase: ptr(Closed)})
	if _, err := f.tryPlan(0, time.Hour, 0, drawn); err == nil {
		t.Error("a draw without a pre-queue")
	}
	if _, err := f.tryPlan(time.Minute, time.Hour, 0, Settings{Draw: ptr(true), Beacon: ptr(LotteryBeacon)}); err == nil {
		t.Error("a lottery without a name")
	}
	f.plan(t, 10*time.Minute, 40*time.Minute, 0, drawn)
	if n, epoch := draws(); n != 1 || epoch != 2 {
		t.Fatalf("%d draws, line %d", n, epoch)
	}
	f.plan(t, 0, 0, 0, Settings{})
	if n, _ := draws(); n != 0 {
		t.Fatalf("%d draws of a cancelled plan", n)
	}
	if _, err := f.replicas[0].SetValve(ctx, "staff:test", "admin", room, Change{Phase: ptr(PreQueue)}); err == nil {
		t.Error("a pre-queue to be drawn without a plan")
	}
	f.plan(t, 10*time.Minute, 40*time.Minute, 0, Settings{})
	f.pass(t, 11*time.Minute)
	f.wantPhase(t, PreQueue)
	f.join(t, f.replicas[0])

	fixed := Settings{Beacon: ptr(NoBeacon)}
	if _, err := f.replicas[0].EditRoom(ctx, "staff:test", "admin", room, fixed); err == nil {
		t.Error("another beacon in the middle of the pre-queue")
	}
	if _, err := f.tryPlan(0, 10*time.Minute, 0, Settings{}); err == nil {
		t.Error("the opening was moved to earlier")
	}
	f.plan(t, 0, time.Hour, 0, Settings{})

	// Stopped and opened again: through the draw.
	f.valve(t, Change{Phase: ptr(Closed)})
	f.pass(t, 2*time.Hour)
	f.wantPhase(t, Closed)
	if r := f.valve(t, Change{Phase: ptr(Open)}); r.Phase != Drawing {
		t.Fatalf("opened by hand: %s", r.Phase)
	}
	if _, err := f.replicas[0].SetValve(ctx, "staff:test", "admin", room, Change{Phase: ptr(Open)}); err == nil {
		t.Error("opened by hand while drawing")
	}
	// A new line begins without it.
	f.valve(t, Change{Phase: ptr(Closed)})
	f.valve(t, Change{NewLine: true})
	if r := f.valve(t, Change{Phase: ptr(Open)}); r.Phase != Open {
		t.Errorf("a line without a pre-queue: %s", r.Phase)
	}
}

// TestNoPlanGoesAroundTheDraw: the tickets of a pre-queue that was stopped are
// drawn before the room opens, whatever is planned and cancelled meanwhile.
func TestNoPlanGoesAroundTheDraw(t *testing.T) {
	t.Parallel()
	f := setup(t, 1)
	ctx := context.Background()
	f.valve(t, Change{Phase: ptr(Closed)})
	f.plan(t, time.Minute, 10*time.Minute, 0, Settings{Draw: ptr(true), Beacon: ptr(NoBeacon)})
	f.pass(t, 2*time.Minute)
	f.wantPhase(t, PreQueue)
	f.join(t, f.replicas[0])
	closed := f.valve(t, Change{Phase: ptr(Closed)})

	undrawn := func(what string, c Settings, key string) {
		t.Helper()
		var bad Problems
		_, err := f.tryPlan(0, 4*time.Second, 0, c)
		if !errors.As(err, &bad) || !slices.ContainsFunc(bad, func(p web.FieldError) bool { return p.Key == "waitingroom.plan.error."+key }) {
			t.Errorf("%s: %v", what, err)
		}
	}
	undrawn("an opening alone", Settings{}, "draw_needs")
	undrawn("an opening without the draw", Settings{Draw: ptr(false)}, "undrawn")
	f.plan(t, 10*time.Minute, 20*time.Minute, 0, Settings{EndLine: true})
	undrawn("the plan that held is no excuse", Settings{Draw: ptr(false)}, "fixed")
	undrawn("nor is it for the opening", Settings{Draw: ptr(false)}, "undrawn")
	if _, err := f.replicas[0].EditRoom(ctx, "staff:test", "admin", room, Settings{Draw: ptr(false)}); err != nil {
		t.Fatalf("the coming line without a draw: %v", err)
	}
	undrawn("after the settings", Settings{}, "undrawn")
	f.plan(t, 0, 0, 0, Settings{}) // cancelled: the line of before stays
	undrawn("after the cancelling", Settings{}, "undrawn")
	if _, err := f.replicas[0].SetValve(ctx, "staff:test", "admin", room, Change{Phase: ptr(PreQueue)}); err == nil {
		t.Error("the pre-queue began a second time")
	}

	// A plan that is there all the same leads through the draw.
	if _, err := f.pool.Exec(ctx, `UPDATE waitingroom.room SET opens_at = $2, phase = 'scheduled' WHERE id = $1`, room, f.replicas[0].roomNow().Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	f.refresh(t)
	f.pass(t, 2*time.Second)
	f.refresh(t)
	f.wantPhase(t, Open)
	var revealed bool
	if err := f.pool.QueryRow(ctx, `SELECT revealed_at IS NOT NULL FROM waitingroom.draw WHERE room_id = $1 AND epoch = $2`, room, closed.Epoch).Scan(&revealed); err != nil || !revealed {
		t.Errorf("opened without its draw: %v", err)
	}
	if got := f.steps(t); got[len(got)-1] != string(Drawing) {
		t.Errorf("steps %v", got)
	}
}

// TestValveIsQuick: three running replicas follow the valve and the plan within
// two seconds, and the plan's step is written in its moment.
func TestValveIsQuick(t *testing.T) {
	t.Parallel()
	f := setup(t, 3)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for _, s := range f.replicas {
		wg.Go(func() {
			if err := s.Run(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	defer wg.Wait()
	defer cancel()
	follow := func(what string, since time.Time, want Phase) {
		t.Helper()
		for {
			done := true
			for _, p := range f.phases() {
				done = done && p == want
			}
			if done {
				return
			}
			if time.Since(since) > 2*time.Second {
				t.Fatalf("%s: %v after two seconds, want %s", what, f.phases(), want)
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
	for i, p := range []Phase{Paused, Open, Paused, Closed} {
		start := time.Now()
		if _, err := f.replicas[i%3].SetValve(ctx, "staff:test", "admin", room, Change{Phase: ptr(p)}); err != nil {
			t.Fatal(err)
		}
		follow("valve", start, p)
	}
	now := f.replicas[0].roomNow()
	opens := now.Add(1500 * time.Millisecond)
	_, err := f.replicas[1].SetPlan(ctx, "staff:test", "admin", room, Plan{ptr(now.Add(700 * time.Millisecond)), &opens, nil}, Settings{})
	if err != nil {
		t.Fatal(err)
	}
	follow("plan", opens.Add(-time.Until(f.now())), Open) // its moment on this machine's clock
	var late time.Duration
	if err := f.pool.QueryRow(ctx, `SELECT changed_at - $1 FROM waitingroom.room WHERE id = $2`, opens, room).Scan(&late); err != nil || late > time.Second {
		t.Errorf("opened %v after its time, %v", late, err)
	}
}
