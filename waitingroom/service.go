package waitingroom

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"impfportal/internal/clock"
	"impfportal/internal/id"
	"impfportal/internal/vault"
	"impfportal/notify"
	"impfportal/waitingroom/draw"
)

// refreshEvery is how often a replica reads the valve, ticks, and renews its
// snapshots.
const refreshEvery = time.Second

// Config is what the slice needs.
type Config struct {
	Pool  *pgxpool.Pool
	Redis redis.UniversalClient
	Now   clock.Clock
	Keys  *Signer
	Log   *slog.Logger // nil = slog.Default()
	// Shift is what Now adds to the true time (PORTAL_CLOCK). With it the rooms
	// go by the time of Redis alone, and a jump of this machine's clock changes
	// nothing; nil = Now is believed, as tests with a clock of their own need.
	Shift *time.Duration
	// Left tells how many people could still get what a route group is for, of
	// what the web may book; ok is false where that is no question. nil = nobody knows.
	Left func(ctx context.Context, group string) (n int64, ok bool, err error)
	// StaffSince tells since when an administrator ("staff:<id>") alone knows their
	// credentials, in the time of Now: two accounts that one person has made must
	// not agree on a draw's value. nil = no administrator's word counts.
	StaffSince func(ctx context.Context, actor string) (time.Time, error)
	// Draws is what the drawing of pre-queues needs.
	Draws DrawConfig
	// Notify and Vault send a message to those who want to be told before it is
	// their turn; nil = that is not offered. BaseURL begins the link in it.
	Notify  *notify.Service
	Vault   *vault.Vault
	BaseURL string
	// Defence sets the limits per network and the proof of work; zero = the defaults.
	Defence Defence
}

// Service is the waiting rooms of one replica.
type Service struct {
	pool    *pgxpool.Pool
	rdb     redis.UniversalClient
	now     clock.Clock
	shift   *time.Duration
	behind  func(ctx context.Context, group string) (n int64, ok bool, err error) // Config.Left
	told    atomic.Pointer[timeSeen]
	keys    *Signer
	log     *slog.Logger
	replica string
	draws   *conductor
	// staffSince is Config.StaffSince.
	staffSince func(ctx context.Context, actor string) (time.Time, error)

	rooms atomic.Pointer[roomSet]
	admin administration

	defend defending
	remind reminding
	texts  sync.Map // language -> texts of the waiting page's script, as template.HTMLAttr

	postgresLost atomic.Bool // it did not answer when it was asked last
	probing      sync.Mutex

	refreshing sync.Mutex   // one refresh at a time
	refreshed  atomic.Int64 // unix nanoseconds of the machine's clock
}

// roomSet is immutable; the views in it are shared by successive sets.
type roomSet struct {
	views map[string]*view
	guard map[string]*view // route group -> room
}

// view is what this replica knows of one room.
type view struct {
	id    string
	known atomic.Pointer[Room]
	snap  atomic.Pointer[snapshot]
	line  atomic.Pointer[Figures]

	lot   atomic.Pointer[draw.Lot] // the drawn order of this epoch's pre-queue; nil = none is revealed
	drawn atomic.Pointer[drawnSet] // what is known and published of the room's draws

	due  atomic.Pointer[time.Time] // when the beacon of the coming draw is expected
	left atomic.Pointer[int64]     // how many people could still get what is behind the room; nil = not known

	leftAt time.Time // refresh only

	mu    sync.Mutex
	epoch int64
	seen  int64 // highest index that this replica has seen given out in epoch
	gen   int64
	count int64 // highest count of changes that this replica has seen in generation gen

	restoring sync.Mutex // one rebuild at a time
	owed      owed

	joining       joiner
	joiningBehind joiner
	holding       holders
	leaving       leavers
	pace          paceMeter // refresh only
	defence       roomDefence
}

// New makes the service. It asks nothing of Postgres or Redis yet; call Run.
func New(c Config) *Service {
	if c.Log == nil {
		c.Log = slog.Default()
	}
	s := &Service{pool: c.Pool, rdb: c.Redis, now: c.Now, shift: c.Shift, behind: c.Left, keys: c.Keys, log: c.Log.With("slice", "waitingroom"), replica: id.New()}
	s.defend.settings = c.Defence
	s.remind = reminding{c.Notify, c.Vault, c.BaseURL}
	s.rooms.Store(&roomSet{})
	s.draws = newConductor(c.Draws)
	s.staffSince = c.StaffSince
	return s
}

// Run keeps the rooms alive until ctx ends: it follows the valve, ticks and
// renews the snapshots about once a second. Every replica of the portal runs
// one; none of them is special.
func (s *Service) Run(ctx context.Context) error {
	for {
		if err := s.Refresh(ctx); err != nil && ctx.Err() == nil {
			s.log.Error("refresh", "err", err)
		}
		// A little jitter keeps the replicas from ticking in the same instant; what
		// is planned happens at its moment.
		pause := refreshEvery - 50*time.Millisecond + rand.N(100*time.Millisecond)
		now := s.roomNow()
		if next := s.nextPlanned(now); !next.IsZero() {
			pause = min(pause, max(next.Sub(now), time.Millisecond))
		}
		wait := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			wait.Stop()
			return nil
		case <-wait.C:
		}
	}
}

// Refresh does one round of Run. Trouble with Redis shows in the snapshots as
// a pause and is not an error of the round as a whole.
func (s *Service) Refresh(ctx context.Context) error {
	s.refreshing.Lock()
	defer s.refreshing.Unlock()
	ctx, cancel := context.WithTimeout(ctx, 6*time.Second)
	defer cancel()
	if err := s.refreshSettings(ctx); err != nil {
		s.refreshed.Store(time.Now().UnixNano())
		return err
	}
	var errs []error
	for _, step := range []func(context.Context) error{s.followPlans, s.conductDraws} {
		if err := step(ctx); err != nil {
			errs = append(errs, err)
		}
	}
	errs = append(errs, s.eachRoom(func(v *view) error { return s.refreshRoom(ctx, v) }))
	for _, step := range []func(context.Context) error{s.noteMinutes, s.watchArrivals} {
		if err := step(ctx); err != nil {
			errs = append(errs, err)
		}
	}
	s.refreshed.Store(time.Now().UnixNano())
	return errors.Join(errs...)
}

// refreshSettings reads the rooms. Without Postgres nobody can come in: the line
// stands still then, and the snapshots say so.
func (s *Service) refreshSettings(ctx context.Context) error {
	err := s.load(ctx)
	s.notePostgres(err)
	if err == nil {
		return nil
	}
	return errors.Join(err, s.eachRoom(func(v *view) error {
		troubles.WithLabelValues(v.id).Inc()
		s.publish(v, nil)
		return s.hold(ctx, v)
	}))
}

// eachRoom does something for all rooms at once: on a cluster they are on
// different nodes, and one that does not answer must not stop the others.
func (s *Service) eachRoom(fn func(v *view) error) error {
	var (
		mu   sync.Mutex
		errs []error
		g    errgroup.Group
	)
	g.SetLimit(16)
	for _, v := range s.rooms.Load().views {
		g.Go(func() error {
			if err := fn(v); err != nil {
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, fmt.Errorf("room %s: %w", v.id, err))
			}
			return nil
		})
	}
	_ = g.Wait()
	return errors.Join(errs...)
}

// leftEvery is how often a replica asks what is left behind a room.
const leftEvery = 5 * time.Second

// countLeft asks how much is left of what is behind a room.
func (s *Service) countLeft(ctx context.Context, v *view) {
	if s.behind == nil || time.Since(v.leftAt) < leftEvery {
		return
	}
	v.leftAt = time.Now()
	for _, group := range v.known.Load().Groups {
		n, ok, err := s.behind(ctx, group)
		switch {
		case err != nil:
			s.log.Warn("what is left", "room", v.id, "err", err) // the last figure stands
			return
		case ok:
			v.left.Store(&n)
			return
		}
	}
	v.left.Store(nil)
}

// refreshRoom ticks one room and renews its snapshot.
func (s *Service) refreshRoom(ctx context.Context, v *view) error {
	s.countLeft(ctx, v)
	fig, err := s.tick(ctx, v)
	if err != nil {
		troubles.WithLabelValues(v.id).Inc()
		s.publish(v, nil)
		return err
	}
	v.pace.note(fig.At, fig.Serving, fig.Inside, fig.Waiting > 0 && v.known.Load().Phase == Open)
	r := v.known.Load()
	fig.Pace = v.pace.pace(int64(r.Rate), r.turnover())
	s.publish(v, &fig)
	s.payOwed(ctx, v)
	if err := s.checkpoint(ctx, v, fig); err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	if fig.ceiling-fig.Issued < ceilingBlock/2 {
		if err := s.raise(ctx, v, InLine, fig.Issued); err != nil {
			return fmt.Errorf("ceiling: %w", err)
		}
	}
	return nil
}

// ensure makes sure that the rooms were read at least once, and renews a view
// that nobody else keeps fresh (programs and tests without Run).
func (s *Service) ensure(ctx context.Context) {
	if time.Since(time.Unix(0, s.refreshed.Load())) < 3*refreshEvery {
		return
	}
	if !s.refreshing.TryLock() {
		if len(s.rooms.Load().views) > 0 {
			return // somebody is at it; what is known will do
		}
	} else {
		s.refreshing.Unlock()
	}
	if err := s.Refresh(ctx); err != nil {
		s.log.Warn("refresh", "err", err)
	}
}

// load reads all rooms from Postgres.
func (s *Service) load(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, postgresPatience)
	defer cancel()
	rooms, err := Rooms(ctx, s.pool)
	if err != nil {
		return err
	}
	old := s.rooms.Load()
	next := &roomSet{views: make(map[string]*view, len(rooms)), guard: map[string]*view{}}
	for _, r := range rooms {
		v := old.views[r.ID]
		if v == nil {
			v = &view{id: r.ID}
		}
		v.learn(r)
		next.views[r.ID] = v
		for _, g := range r.Groups {
			if next.guard[g] == nil { // the first room by id guards a group
				next.guard[g] = v
			}
		}
	}
	if !maps.Equal(old.views, next.views) || !maps.Equal(old.guard, next.guard) {
		s.rooms.Store(next)
	}
	return s.loadLots(ctx)
}

// learn takes r over unless something newer is known.
func (v *view) learn(r Room) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if k := v.known.Load(); k != nil && (k.Generation > r.Generation || k.Generation == r.Generation && k.Version > r.Version) {
		return
	}
	if r.Epoch != v.epoch {
		v.epoch, v.seen = r.Epoch, 0
	}
	if r.Generation != v.gen {
		v.gen, v.count = r.Generation, 0
	}
	v.known.Store(&r)
}

// noteSeen remembers how far the numbers have been given out.
func (v *view) noteSeen(epoch, issued int64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if epoch == v.epoch {
		v.seen = max(v.seen, issued)
	}
}

// noteChanges remembers how far the state of a generation has come.
func (v *view) noteChanges(generation, n int64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if generation == v.gen {
		v.count = max(v.count, n)
	}
}

// seen is how far this replica has seen a room go: a state in Redis that is
// behind it is an old copy.
type seen struct{ issued, changes int64 }

// knownAndSeen returns both under one lock: seen belongs to the room's epoch
// and generation.
func (v *view) knownAndSeen() (Room, seen) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return *v.known.Load(), seen{v.seen, v.count}
}

// position returns where a place stands in the line; known is false while the
// draw that decides it is not over, and for places outside the line.
func (s *Service) position(v *view, p Place) (pos int64, known bool) {
	switch p.Cohort {
	case CohortLive:
		return p.Index, true
	case CohortDrawn:
		if lot := v.lot.Load(); lot != nil {
			return lot.Place(p.Index)
		}
	}
	return 0, false
}

// view finds a room that this replica knows; it returns ErrNoRoom.
func (s *Service) view(ctx context.Context, roomID string) (*view, error) {
	s.ensure(ctx)
	v := s.rooms.Load().views[roomID]
	if v == nil {
		if len(s.rooms.Load().views) == 0 {
			return nil, ErrUnavailable
		}
		return nil, ErrNoRoom
	}
	return v, nil
}

// RoomIDs lists the rooms that this replica knows.
func (s *Service) RoomIDs() []string { return slices.Sorted(maps.Keys(s.rooms.Load().views)) }
