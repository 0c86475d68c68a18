package waitingroom

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/audit"
	"impfportal/internal/pg"
	"impfportal/waitingroom/draw"
)

// Conducting a draw has four steps. Each is one transaction that looks again at
// what the step before has left, so any replica may take any of them, twice or
// together with others, and may die between two.
//
//	commit   with the plan: a seed, its commitment, the name of the beacon's value
//	close    phase drawing: last index and number of tickets, signed
//	value    the beacon's value comes, from a server or from two administrators
//	reveal   the order is known; the room opens
//
// Who takes part is fixed like this. The phase drawing is a new version of the
// room. A replica that numbers joins under an older version is turned away by
// the script; one that knows the phase gives out no number before the close is in
// Postgres ([Service.awaitClose]). So at any moment after a script has run under
// the new version, and before the close is written, nobody gets a number: all
// indexes given out so far are drawn ones, and all later ones are live.

// drawDeed is the deed of a draw in audit.
var drawDeed = deed{actor: "system", role: "system", action: "waitingroom.draw.reveal"}

// commitDraw commits to a seed for a planned opening and names the value that
// will be mixed in. The room's pre-queue has not begun, or the opening was moved
// to later while it goes on: then only another value is named. It returns
// Problems when the room's beacon cannot be used.
func (s *Service) commitDraw(ctx context.Context, tx pgx.Tx, r Room, epoch int64) error {
	if r.Beacon == DrandBeacon && len(s.draws.drand.URLs) == 0 {
		return Problems{{Field: "beacon", Key: "waitingroom.draw.error.drand"}}
	}
	if draw.CheckText(cleanName(r.BeaconName)) != nil || r.Beacon == LotteryBeacon && cleanName(r.BeaconName) == "" {
		return Problems{{Field: "beacon_name", Key: "waitingroom.draw.error.name"}}
	}
	closes := s.realNow()
	if at := r.Plan.OpensAt; at != nil {
		closes = s.toReal(*at)
	}
	n := s.nameBeacon(r.Beacon, r.BeaconName, closes)
	if epoch == r.Epoch {
		tag, err := tx.Exec(ctx, `
			UPDATE waitingroom.draw SET beacon_name = $3, beacon_due = $4 WHERE room_id = $1 AND epoch = $2 AND closed_at IS NULL AND beacon = $5`,
			r.ID, epoch, n.name, n.due, n.beacon)
		if err != nil || tag.RowsAffected() > 0 {
			return err
		}
	}
	if _, err := tx.Exec(ctx, `DELETE FROM waitingroom.draw WHERE room_id = $1 AND epoch = $2 AND closed_at IS NULL`, r.ID, epoch); err != nil {
		return err
	}
	_, err := s.insertDraw(ctx, tx, draw.Subject{Room: r.ID, Epoch: epoch, Attempt: 1}, n)
	return err
}

// insertDraw makes a seed and commits to it.
func (s *Service) insertDraw(ctx context.Context, tx pgx.Tx, subject draw.Subject, n naming) (drawRow, error) {
	d := drawRow{Subject: subject, naming: n, committedAt: draw.Stamp(s.realNow()), gaps: [][2]int64{}}
	_, _ = rand.Read(d.seed[:]) // never fails (crypto/rand)
	d.commitment = draw.Commit(subject, d.seed)
	var chain []byte
	if n.chain != nil {
		var err error
		if chain, err = json.Marshal(n.chain); err != nil {
			return d, err
		}
	}
	_, err := tx.Exec(ctx, `
		INSERT INTO waitingroom.draw (room_id, epoch, attempt, seed, commitment, committed_at, beacon, beacon_name, beacon_due, chain)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
		d.Room, d.Epoch, d.Attempt, d.seed[:], d.commitment[:], d.committedAt, d.beacon, d.name, d.due, chain)
	if err != nil {
		return d, fmt.Errorf("commit to a draw: %w", err)
	}
	return d, s.auditDraw(ctx, tx, "system", "system", "waitingroom.draw.commit", d)
}

// auditDraw writes what anybody may know of an attempt.
func (s *Service) auditDraw(ctx context.Context, tx pgx.Tx, actor, role, action string, d drawRow) error {
	view := map[string]any{
		"epoch": d.Epoch, "attempt": d.Attempt, "commitment": hex.EncodeToString(d.commitment[:]), "beacon": d.beacon, "name": d.name, "due": d.due,
	}
	if d.closed() {
		view["tickets"], view["last_index"], view["closed_at"] = *d.tickets, *d.last, *d.closedAt
	}
	if d.value != nil && d.beacon != LocalBeacon {
		view["value"] = *d.value
	}
	if d.failedWhy != "" {
		view["failed"] = d.failedWhy
	}
	return audit.Write(ctx, tx, s.now(), audit.Entry{Actor: actor, Role: role, Action: action, Subject: "room:" + d.Room, After: view})
}

// conductDraws takes the next step of every draw that has one. Every replica
// calls it once a second.
func (s *Service) conductDraws(ctx context.Context) error {
	var errs []error
	for id, v := range s.rooms.Load().views {
		var err error
		switch r := v.known.Load(); {
		case r.Phase == PreQueue && r.Draw && v.drawing(r.Epoch) == nil:
			err = s.commitBelated(ctx, v)
		case r.Phase == Drawing:
			err = s.conduct(ctx, v)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("draw of room %s: %w", id, err))
		}
	}
	return errors.Join(errs...)
}

// conduct takes all steps of one room's draw that are possible now.
func (s *Service) conduct(ctx context.Context, v *view) error {
	d, err := s.awaitClose(ctx, v)
	if err != nil || d == nil {
		return err
	}
	if d.value == nil {
		s.askBeacon(v, *d)
		return nil
	}
	if err := s.reveal(ctx, v); err != nil {
		return fmt.Errorf("reveal: %w", err)
	}
	return nil
}

// commitBelated commits to a draw when its pre-queue has begun without one.
func (s *Service) commitBelated(ctx context.Context, v *view) error {
	err := pg.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		r, err := readRoom(ctx, tx, v.id, lockBoth)
		if err != nil {
			return err
		}
		if r.Phase != PreQueue || !r.Draw {
			return nil
		}
		_, err = s.lockDraw(ctx, tx, r)
		return err
	})
	if err != nil {
		return err
	}
	return s.loadLots(ctx)
}

// lockDraw reads the attempt that holds of a locked room's draw, and makes one
// when there is none.
func (s *Service) lockDraw(ctx context.Context, tx pgx.Tx, r Room) (drawRow, error) {
	rows, err := tx.Query(ctx, `
		SELECT `+drawColumns+` FROM waitingroom.draw d WHERE d.room_id = $1 AND d.epoch = $2 AND d.failed_at IS NULL FOR UPDATE`, r.ID, r.Epoch)
	if err != nil {
		return drawRow{}, err
	}
	d, err := pgx.CollectExactlyOneRow(rows, scanDraw)
	if !pg.NoRows(err) {
		return d, err
	}
	closes := s.realNow()
	if at := r.Plan.OpensAt; at != nil && r.Phase == PreQueue {
		closes = s.toReal(*at)
	}
	return s.insertDraw(ctx, tx, draw.Subject{Room: r.ID, Epoch: r.Epoch, Attempt: 1}, s.nameBeacon(r.Beacon, r.BeaconName, closes))
}

// awaitClose makes sure that it is fixed who takes part in the draw of a room
// in phase drawing, and returns the attempt that holds; nil when the room has
// left the phase. Before that nobody gets a number.
func (s *Service) awaitClose(ctx context.Context, v *view) (*drawRow, error) {
	for range 2 {
		r := v.known.Load()
		if r.Phase != Drawing {
			return nil, nil //nolint:nilnil // nothing to do
		}
		if l := v.drawing(r.Epoch); l != nil && l.now().closed() {
			return l.now(), nil
		}
		if err := s.closePreQueue(ctx, v); err != nil {
			return nil, fmt.Errorf("close: %w", err)
		}
		if err := s.load(ctx); err != nil {
			return nil, err
		}
	}
	return nil, ErrUnavailable
}

// closePreQueue fixes and signs who takes part. The room's row is locked, the
// line's is not: rebuilding a lost state in Redis needs it.
func (s *Service) closePreQueue(ctx context.Context, v *view) error {
	return pg.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		r, err := readRoom(ctx, tx, v.id, lockSetting)
		if err != nil {
			return err
		}
		v.learn(r)
		if r.Phase != Drawing {
			return nil
		}
		d, err := s.lockDraw(ctx, tx, r)
		if err != nil || d.closed() {
			return err
		}
		// From this tick on Redis knows the version of the phase drawing: no
		// number is given out under an older one any more.
		fig, err := s.tick(ctx, v)
		if err != nil {
			return err
		}
		if fig.epoch != r.Epoch {
			return ErrUnavailable
		}
		return s.writeClose(ctx, tx, d, fig)
	})
}

// writeClose signs and writes the close. A value that can be known already does
// not count: the next one is named, by the same terms.
func (s *Service) writeClose(ctx context.Context, tx pgx.Tx, d drawRow, fig Figures) error {
	closed, last := draw.Stamp(s.realNow()), fig.Issued
	tickets, gaps := last, [][2]int64{}
	for _, g := range fig.gaps {
		if g.First <= last {
			g.Last = min(g.Last, last)
			gaps = append(gaps, [2]int64{g.First, g.Last})
			tickets -= g.Last - g.First + 1
		}
	}
	d.tickets, d.last, d.gaps, d.closedAt = &tickets, &last, gaps, &closed
	if draw.TrustFor(string(d.beacon)) != draw.TrustOperator && !d.due.After(closed.Add(beaconSlack)) {
		d.failedAt, d.failedWhy = &closed, draw.FailedKnown
		if err := s.writeAttempt(ctx, tx, d); err != nil {
			return err
		}
		name := d.name
		if d.beacon == LotteryBeacon {
			name += closed.Format(" (die nächste Ziehung nach dem 02.01.2006, 15:04 Uhr UTC)")
		}
		var err error
		if d, err = s.nextAttempt(ctx, tx, d, s.nameBeacon(d.beacon, name, closed)); err != nil {
			return err
		}
	}
	switch d.beacon {
	case NoBeacon:
		none := ""
		d.value, d.valueAt = &none, &closed
	case LocalBeacon:
		var b [32]byte
		_, _ = rand.Read(b[:]) // never fails (crypto/rand)
		value := hex.EncodeToString(b[:])
		d.value, d.valueAt = &value, &closed
	}
	if err := s.writeAttempt(ctx, tx, d); err != nil {
		return err
	}
	// A later rebuild of the line must know of all who take part.
	if _, err := tx.Exec(ctx, `UPDATE waitingroom.line SET issued = greatest(issued, $3) WHERE room_id = $1 AND epoch = $2 AND ceiling >= $3`, d.Room, d.Epoch, last); err != nil {
		return err
	}
	s.log.Info("pre-queue closed", "room", d.Room, "epoch", d.Epoch, "tickets", tickets, "last_index", last, "beacon", d.beacon, "name", d.name)
	return s.auditDraw(ctx, tx, "system", "system", "waitingroom.draw.close", d)
}

// writeAttempt writes the close of an attempt with its signature.
func (s *Service) writeAttempt(ctx context.Context, tx pgx.Tx, d drawRow) error {
	gaps, err := json.Marshal(d.gaps)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `
		UPDATE waitingroom.draw SET tickets = $4, last_index = $5, gaps = $6, closed_at = $7, signature = $8, public_key = $9,
			beacon_value = $10, beacon_at = $11, failed_at = $12, failed_why = $13
		WHERE room_id = $1 AND epoch = $2 AND attempt = $3`,
		d.Room, d.Epoch, d.Attempt, *d.tickets, *d.last, gaps, *d.closedAt, d.statement().Sign(s.draws.key), s.publicKey(),
		d.value, d.valueAt, d.failedAt, d.failedWhy)
	return err
}

// nextAttempt names another value for the same tickets, under a new seed.
func (s *Service) nextAttempt(ctx context.Context, tx pgx.Tx, failed drawRow, n naming) (drawRow, error) {
	subject := failed.Subject
	subject.Attempt++
	d, err := s.insertDraw(ctx, tx, subject, n)
	d.tickets, d.last, d.gaps, d.closedAt = failed.tickets, failed.last, failed.gaps, failed.closedAt
	return d, err
}

// reveal makes the order known and opens the room, in one transaction.
//
// The line's row is locked until the end, so nobody rebuilds the line meanwhile.
// Redis gets the line's gaps before the transaction is over: while the room is
// still in phase drawing they change nothing that anybody sees, and when the
// replica dies here the next one does the same again.
func (s *Service) reveal(ctx context.Context, v *view) error {
	if _, err := s.tick(ctx, v); err != nil { // a lost state is rebuilt before the lock
		return err
	}
	var opened *Room
	err := pg.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		r, err := readRoom(ctx, tx, v.id, lockBoth)
		if err != nil {
			return err
		}
		v.learn(r)
		if r.Phase != Drawing {
			return nil
		}
		d, err := s.lockDraw(ctx, tx, r)
		if err != nil {
			return err
		}
		if !d.closed() || d.value == nil {
			return nil
		}
		var raw []byte
		if err := tx.QueryRow(ctx, `SELECT gaps FROM waitingroom.line WHERE room_id = $1`, v.id).Scan(&raw); err != nil {
			return err
		}
		gaps, err := unmarshalGaps(raw)
		if err != nil {
			return err
		}
		gaps = gapsAfterDraw(gaps, *d.tickets, *d.last)
		if err := s.stands(ctx, v, r.Generation); err != nil {
			return err
		}
		if err := s.setGaps(ctx, v, gaps); err != nil {
			return err
		}
		if raw, err = marshalGaps(gaps); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `UPDATE waitingroom.line SET gaps = $2 WHERE room_id = $1`, v.id, raw); err != nil {
			return err
		}
		now := draw.Stamp(s.realNow())
		_, err = tx.Exec(ctx, `
			UPDATE waitingroom.draw SET revealed_at = coalesce(revealed_at, $4) WHERE room_id = $1 AND epoch = $2 AND attempt = $3`,
			d.Room, d.Epoch, d.Attempt, now)
		if err != nil {
			return err
		}
		if err := s.auditDraw(ctx, tx, "system", "system", "waitingroom.draw.lot", d); err != nil {
			return err
		}
		after, err := s.save(ctx, tx, drawDeed, r, r.enter(Open), s.roomNow())
		opened = &after
		return err
	})
	if err != nil {
		return err
	}
	if opened != nil {
		v.learn(*opened)
		s.log.Info("drawn", "room", v.id, "epoch", opened.Epoch)
	}
	return s.loadLots(ctx)
}

// stands returns an error unless Redis holds the state of this generation.
func (s *Service) stands(ctx context.Context, v *view, generation int64) error {
	_, known := v.knownAndSeen()
	ok, err := s.standing(ctx, v, generation, known)
	if err == nil && !ok {
		err = fmt.Errorf("%w: the state must be rebuilt first", ErrUnavailable)
	}
	return err
}

// gapsAfterDraw returns the gaps of a line whose first places were drawn:
// behind the places 1 to tickets nobody stands up to the last index that took
// part, and what was lost among these is no gap of the places any more.
func gapsAfterDraw(gaps []Gap, tickets, last int64) []Gap {
	var after []Gap
	if tickets < last {
		after = append(after, Gap{tickets + 1, last})
	}
	for _, g := range gaps {
		g.First = max(g.First, last+1)
		switch n := len(after); {
		case g.First > g.Last:
		case n > 0 && after[n-1].Last+1 == g.First:
			after[n-1].Last = g.Last
		default:
			after = append(after, g)
		}
	}
	return after
}

// cohortOf returns what a number belongs to that was given out under r. A number
// up to the last index of a draw takes part in it, also when the answer with it
// was lost and came only after the close.
func (s *Service) cohortOf(v *view, r Room, lane Lane, index int64) int64 {
	if lane == InLine && r.Phase != PreQueue {
		if l := v.drawing(r.Epoch); l != nil && l.now().closed() && index <= *l.now().last {
			return CohortDrawn
		}
	}
	return r.cohort(lane)
}

// askBeacon asks for the value of a drand round in the background, once it is
// due; a slow server must not hold up the line. Whoever gets it first writes it.
func (s *Service) askBeacon(v *view, d drawRow) {
	now := s.realNow()
	s.warnLate(v, d, now)
	if d.beacon != DrandBeacon || d.chain == nil || now.Before(d.due) || !s.draws.mayAsk(d.Subject) {
		return
	}
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Duration(len(s.draws.drand.URLs)+1)*drandTimeout)
		defer cancel()
		value, proof, err := s.draws.fetchRound(ctx, *d.chain, d.name)
		if err == nil {
			err = pg.InTx(ctx, s.pool, func(tx pgx.Tx) error { return s.writeValue(ctx, tx, "system", "system", d, value, proof) })
		}
		if err != nil {
			s.log.Warn("beacon", "room", d.Room, "epoch", d.Epoch, "name", d.name, "err", err)
		}
		s.draws.asks(d.Subject, drandEvery)
	}()
}

// mayAsk reports whether this replica is to ask for a value now, and keeps it
// from asking again meanwhile.
func (c *conductor) mayAsk(d draw.Subject) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Now().Before(c.asked[d]) {
		return false
	}
	c.asked[d] = time.Now().Add(time.Duration(len(c.drand.URLs)+2) * drandTimeout)
	return true
}

func (c *conductor) asks(d draw.Subject, after time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked[d] = time.Now().Add(after)
}

// writeValue writes the value of a beacon, unless there is one.
func (s *Service) writeValue(ctx context.Context, tx pgx.Tx, actor, role string, d drawRow, value, proof string) error {
	now := draw.Stamp(s.realNow())
	tag, err := tx.Exec(ctx, `
		UPDATE waitingroom.draw SET beacon_value = $4, beacon_proof = $5, beacon_at = $6
		WHERE room_id = $1 AND epoch = $2 AND attempt = $3 AND beacon_value IS NULL AND failed_at IS NULL AND closed_at IS NOT NULL`,
		d.Room, d.Epoch, d.Attempt, value, proof, now)
	if err != nil || tag.RowsAffected() == 0 {
		return err
	}
	d.value = &value
	return s.auditDraw(ctx, tx, actor, role, "waitingroom.draw.value", d)
}
