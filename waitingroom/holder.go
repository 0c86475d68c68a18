package waitingroom

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"impfportal/internal/pg"
	"impfportal/internal/web"
)

// In a room that demands login a place belongs to a person, not to a browser:
// one at a time, the same on every device. The row in waitingroom.holder says
// which; tickets and passes carry [HashPerson] where others carry the hash of
// the browser's key.
//
//	no row                            -> the next number, and a row
//	row, not used yet                 -> the same place again
//	row, its pass counts              -> the same place; Enter gives the same pass again
//	row, its pass is over, or too old -> the next number; the row names it instead
//
// A number that was taken for nothing (two replicas at once) is a no-show.

// ErrLoginNeeded says that the room gives places to people who are logged in.
var ErrLoginNeeded = errors.New("waitingroom: the room demands login")

// HashPerson is what tickets and passes of a person carry. No browser's key has
// the same: the two are hashed under different names.
func HashPerson(personID string) KeyHash {
	sum := sha256.Sum256([]byte("impfportal room person\x00" + personID))
	return KeyHash(sum[:16])
}

// held is a person's place.
type held struct {
	Place
	issued time.Time
	inside bool // a pass of it counts
	spent  bool // it was used, or is too old
}

func (h held) ticket(personID string) Ticket {
	return Ticket{Place: h.Place, Issued: h.issued.UTC().Truncate(time.Second), Key: HashPerson(personID)}
}

// holders collects the joins of people, as [joiner] does those of browsers: a
// batch costs two statements and one number command, however many are in it.
type holders struct {
	mu   sync.Mutex
	next *holderBatch // collecting; nil = nobody waits
	send sync.Mutex   // one batch at a time
}

type holderBatch struct {
	people []string // in the order of arrival, each once
	known  map[string]bool
	done   chan struct{}
	held   map[string]held
	err    error // of those who have no place in held
}

// joinAs returns the place of a person, a new one only when there is none that
// counts; inside tells that it is in use. It returns ErrNotTaking, ErrUnavailable.
func (s *Service) joinAs(ctx context.Context, v *view, personID string) (t Ticket, inside bool, err error) {
	j := &v.holding
	j.mu.Lock()
	b := j.next
	if b == nil {
		b = &holderBatch{known: map[string]bool{}, held: map[string]held{}, done: make(chan struct{})}
		j.next = b
		go s.sendHolders(v, j, b)
	}
	if !b.known[personID] {
		b.known[personID] = true
		b.people = append(b.people, personID)
	}
	j.mu.Unlock()
	select {
	case <-b.done:
	case <-ctx.Done():
		return Ticket{}, false, fmt.Errorf("%w: %w", ErrUnavailable, ctx.Err())
	}
	h, ok := b.held[personID]
	if !ok {
		return Ticket{}, false, b.err
	}
	return h.ticket(personID), h.inside, nil
}

// sendHolders closes b after the window and finds everybody a place. It
// outlives the request that began it, because others wait for it too.
func (s *Service) sendHolders(v *view, j *holders, b *holderBatch) {
	ctx, cancel := context.WithTimeout(context.Background(), joinPatience)
	defer cancel()
	time.Sleep(joinWindow)
	j.send.Lock() // while the batch before is under way, this one goes on collecting
	defer j.send.Unlock()
	j.mu.Lock()
	j.next = nil
	j.mu.Unlock()
	defer close(b.done)
	b.err = s.placeAll(ctx, v, b)
}

// placeAll fills b.held; whoever is left out gets its error.
func (s *Service) placeAll(ctx context.Context, v *view, b *holderBatch) error {
	if err := s.postgresAnswers(ctx); err != nil {
		return err
	}
	left, epoch := b.people, v.known.Load().Epoch
	for range attempts {
		found, err := s.lookUp(ctx, v, epoch, left)
		if err != nil {
			return fmt.Errorf("%w: holders: %w", ErrUnavailable, err)
		}
		var need []string
		for _, p := range left {
			if h, ok := found[p]; ok && !h.spent {
				b.held[p] = h
			} else {
				need = append(need, p)
			}
		}
		if len(need) == 0 {
			return nil
		}
		if !v.known.Load().Phase.TakesPlaces() {
			return ErrNotTaking
		}
		first, err := s.take(ctx, v, InLine, int64(len(need)))
		if err != nil {
			return err
		}
		joins.WithLabelValues(v.id).Add(float64(len(need)))
		if first.Epoch != epoch { // a new line has begun meanwhile
			epoch, found = first.Epoch, nil
		}
		left, err = s.writeHolders(ctx, b, first, need, found)
		if deadlock(err) {
			continue // another replica had the same people
		}
		if err != nil {
			return fmt.Errorf("%w: holders: %w", ErrUnavailable, err)
		}
		if len(left) == 0 {
			return nil
		}
	}
	return fmt.Errorf("%w: the places do not settle", ErrUnavailable)
}

func deadlock(err error) bool {
	pgErr, ok := errors.AsType[*pgconn.PgError](err)
	return ok && pgErr.Code == "40P01"
}

// planEachTime has Postgres plan a statement anew each time. A plan that was kept
// from the time when the table was empty reads all of it for each person: at an
// opening the table grows faster than Postgres notices.
const planEachTime = pgx.QueryExecModeExec

// lookUp reads the places of people in a line.
func (s *Service) lookUp(ctx context.Context, v *view, epoch int64, people []string) (_ map[string]held, err error) {
	ctx, cancel := context.WithTimeout(ctx, postgresPatience)
	defer cancel()
	defer func() { s.notePostgres(err) }()
	now := s.roomNow()
	rows, err := s.pool.Query(ctx, `
		SELECT n.person_id::text, h.cohort, h.ticket_index, h.issued_at, coalesce(p.live, false), coalesce(NOT p.live, false)
		FROM unnest($3::text[]::uuid[]) AS n (person_id)
		CROSS JOIN LATERAL (
			SELECT cohort, ticket_index, issued_at FROM waitingroom.holder WHERE room_id = $1 AND epoch = $2 AND person_id = n.person_id LIMIT 1
		) h
		LEFT JOIN LATERAL (
			SELECT released_at IS NULL AND expires_at > $4 AS live FROM waitingroom.pass
			WHERE room_id = $1 AND epoch = $2 AND cohort = h.cohort AND ticket_index = h.ticket_index LIMIT 1
		) p ON true`, planEachTime, v.id, epoch, people, now)
	if err != nil {
		return nil, err
	}
	found := make(map[string]held, len(people))
	var person string
	h := held{Place: Place{Room: v.id, Epoch: epoch}}
	_, err = pgx.ForEachRow(rows, []any{&person, &h.Cohort, &h.Index, &h.issued, &h.inside, &h.spent}, func() error {
		// A place is given up a little before its ticket is void: it shall not end on
		// the way to the door.
		h.spent = h.spent || !h.inside && now.Sub(h.issued) > TicketLife-time.Minute
		found[person] = h
		return nil
	})
	return found, err
}

// writeHolders gives the people the places from first on, in their order, and
// returns those to whom another replica has given one meanwhile. found are the
// spent places of some of them.
func (s *Service) writeHolders(ctx context.Context, b *holderBatch, first Place, people []string, found map[string]held) (others []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, postgresPatience)
	defer cancel()
	defer func() { s.notePostgres(err) }()
	now := s.roomNow().Truncate(time.Microsecond)
	n := len(people)
	index, oldCohort, oldIndex := make([]int64, n), make([]int64, n), make([]int64, n)
	for i, p := range people {
		index[i] = first.Index + int64(i)
		oldCohort[i], oldIndex[i] = found[p].Cohort, found[p].Index
	}
	rows, err := s.pool.Query(ctx, `
		WITH n AS (
			SELECT * FROM unnest($5::text[]::uuid[], $6::bigint[], $7::bigint[], $8::bigint[]) AS n (person_id, ticket_index, old_cohort, old_index)
			ORDER BY person_id
		), spent AS (
			SELECT n.person_id, n.ticket_index, h.ctid AS row FROM n CROSS JOIN LATERAL (
				SELECT ctid FROM waitingroom.holder
				WHERE room_id = $1 AND epoch = $2 AND person_id = n.person_id AND cohort = n.old_cohort AND ticket_index = n.old_index LIMIT 1 FOR UPDATE
			) h WHERE n.old_index > 0
		), moved AS (
			UPDATE waitingroom.holder h SET cohort = $3, ticket_index = spent.ticket_index, issued_at = $4 FROM spent WHERE h.ctid = spent.row
			RETURNING h.person_id
		), fresh AS (
			INSERT INTO waitingroom.holder (room_id, epoch, person_id, cohort, ticket_index, issued_at)
			SELECT $1, $2, person_id, $3, ticket_index, $4 FROM n WHERE old_index = 0
			ON CONFLICT DO NOTHING RETURNING person_id
		)
		SELECT person_id::text FROM moved UNION ALL SELECT person_id::text FROM fresh`,
		planEachTime, first.Room, first.Epoch, first.Cohort, now, people, index, oldCohort, oldIndex)
	if err != nil {
		return nil, err
	}
	mine, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, err
	}
	won := make(map[string]bool, len(mine))
	for _, p := range mine {
		won[p] = true
	}
	for i, p := range people {
		if !won[p] {
			others = append(others, p)
			continue
		}
		place := first
		place.Index = index[i]
		b.held[p] = held{Place: place, issued: now}
	}
	return others, nil
}

// placeHeld returns the place that counts for a person whose ticket is t: t's
// own, or the one that was given out since for it (a code of the hotline, a new
// place after a stay). A ticket that is not known is as good as its row: it
// presents itself.
func (s *Service) placeHeld(ctx context.Context, t Ticket, personID string) (_ Ticket, err error) {
	if err := s.postgresAnswers(ctx); err != nil {
		return Ticket{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, postgresPatience)
	defer cancel()
	defer func() { s.notePostgres(err) }()
	h := held{Place: t.Place}
	err = s.pool.QueryRow(ctx, `
		WITH shown AS (
			INSERT INTO waitingroom.holder (room_id, epoch, person_id, cohort, ticket_index, issued_at) VALUES ($1, $2, $3, $4, $5, $6)
			ON CONFLICT DO NOTHING
		)
		SELECT cohort, ticket_index, issued_at FROM waitingroom.holder WHERE room_id = $1 AND epoch = $2 AND person_id = $3`,
		planEachTime, t.Room, t.Epoch, personID, t.Cohort, t.Index, t.Issued).Scan(&h.Cohort, &h.Index, &h.issued)
	switch {
	case pg.NoRows(err): // just written
		return t, nil
	case err != nil:
		return Ticket{}, fmt.Errorf("%w: holder: %w", ErrUnavailable, err)
	case h.Place == t.Place:
		return t, nil
	}
	return h.ticket(personID), nil
}

// Forget deletes whose place is whose, whose code, and where they wanted to be
// told, of people whose registration ends. What they were let in by stays: it
// names nobody. Who is inside gives back the seat once tx is committed.
func (s *Service) Forget(ctx context.Context, tx pgx.Tx, personIDs []string) error {
	rows, err := tx.Query(ctx, `
		WITH gone AS (
			DELETE FROM waitingroom.holder WHERE person_id = ANY($1::text[]::uuid[]) RETURNING room_id, epoch, cohort, ticket_index
		)
		SELECT g.room_id, g.epoch, g.cohort, g.ticket_index, EXISTS (
			SELECT FROM waitingroom.pass p WHERE p.room_id = g.room_id AND p.epoch = g.epoch AND p.cohort = g.cohort AND p.ticket_index = g.ticket_index
				AND p.released_at IS NULL AND p.expires_at > $2)
		FROM gone g`, personIDs, s.roomNow())
	if err != nil {
		return err
	}
	var (
		p      Place
		inside bool
		all    []Place
		seats  vacatedPayload
	)
	_, err = pgx.ForEachRow(rows, []any{&p.Room, &p.Epoch, &p.Cohort, &p.Index, &inside}, func() error {
		all = append(all, p)
		if inside {
			seats.Passes = append(seats.Passes, p.ID())
		}
		return nil
	})
	if err != nil {
		return err
	}
	if s.remind.offered() {
		for _, p := range all {
			if _, err := s.deleteReminders(ctx, tx, `room_id = $1 AND epoch = $2 AND cohort = $3 AND ticket_index = $4`, p.Room, p.Epoch, p.Cohort, p.Index); err != nil {
				return err
			}
		}
	}
	if _, err := tx.Exec(ctx, `DELETE FROM waitingroom.invite WHERE person_id = ANY($1::text[]::uuid[])`, personIDs); err != nil {
		return err
	}
	if len(seats.Passes) == 0 {
		return nil
	}
	return vacated.Enqueue(ctx, tx, seats)
}

// citizenOf returns the id of the person who is logged in; "" = nobody, or staff.
// It also works in front of the guard; trouble then shows as nobody.
func citizenOf(c *web.Ctx) string {
	u := c.User
	if u == nil {
		u, _ = c.Who("citizen") // who asked for it before knows the error
	}
	if u == nil || u.Kind != "citizen" {
		return ""
	}
	return u.ID
}

// mine reports whether a ticket or pass with this hash belongs to whoever sent
// the request: to the browser by its key, or to the person by the login.
func mine(c *web.Ctx, key KeyHash) bool {
	if h, ok := browserKey(c); ok && h.Equal(key) {
		return true
	}
	person := citizenOf(c)
	return person != "" && HashPerson(person).Equal(key)
}

// placeOf is ticketOf that also finds the place of a person on a new device.
func (s *Service) placeOf(c *web.Ctx, v *view) (Ticket, ticketState) {
	t, have := s.ticketOf(c, v)
	if have == goodTicket || !v.known.Load().Login {
		return t, have
	}
	person := citizenOf(c)
	if person == "" {
		return t, have
	}
	found, err := s.lookUp(c.Std(), v, v.known.Load().Epoch, []string{person})
	if err != nil {
		s.log.Warn("look a place up", "room", v.id, "err", err) // joining finds it, too
		return t, have
	}
	h, ok := found[person]
	if !ok || h.spent {
		return t, have
	}
	t = h.ticket(person)
	s.putTicket(c, t)
	return t, goodTicket
}

// enterAs is Enter for whoever sent the request: in a room that demands login
// with the place that counts for the person.
func (s *Service) enterAs(c *web.Ctx, t Ticket) (Pass, Verdict, error) {
	if person := citizenOf(c); person != "" && HashPerson(person).Equal(t.Key) {
		counts, err := s.placeHeld(c.Std(), t, person)
		if err != nil {
			return Pass{}, "", err
		}
		if counts != t {
			t = counts
			s.putTicket(c, t)
		}
	}
	return s.Enter(c.Std(), t)
}

func (s *Service) putTicket(c *web.Ctx, t Ticket) {
	c.PutCookie(ticketCookie+t.Room, s.keys.SignTicket(t), TicketLife)
}

// loginPath is the login that leads back to a path.
func loginPath(back string) string { return "/login?to=" + url.QueryEscape(back) }

// loginNeeded is ErrLoginNeeded, told in words.
func loginNeeded(c *web.Ctx, v *view) error {
	return errors.Join(&web.Problem{
		Status: http.StatusUnauthorized, Key: "waitingroom.login.needed", Link: loginPath(linePath(v.id, target(c))), LinkKey: "waitingroom.login.button",
		Extra: map[string]string{"room": v.id},
	}, ErrLoginNeeded)
}
