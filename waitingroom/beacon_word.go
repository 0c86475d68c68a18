package waitingroom

import (
	"context"
	"strings"
	"time"
	"unicode"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"golang.org/x/text/unicode/norm"

	"impfportal/audit"
	"impfportal/internal/pg"
	"impfportal/waitingroom/draw"
)

// maxDueAfter bounds how long after the opening, or after the declaration that
// another value failed, a lottery may draw: lotteries draw every week, and beyond
// it lies a mistyped year, with the room shut until then.
const maxDueAfter = 7 * 24 * time.Hour

// MaxWord is how long a lottery's value may be, in bytes.
const MaxWord = 200

// word is what an administrator says about a draw: the lottery's value, or, with
// an empty value, that the beacon has failed and what is to be named instead.
// Nothing happens before two different ones say the same; see [Service.own] for
// whose word counts.
type beaconWord struct {
	by    string // "staff:<id>"
	value string
	next  naming // of a failure
	at    time.Time
}

// noDue stands for a word that names no moment.
var noDue = time.Unix(0, 0).UTC()

// failure reports whether the word declares the beacon failed.
func (w beaconWord) failure() bool { return w.value == "" }

// agrees reports whether two words say the same.
func (w beaconWord) agrees(o beaconWord) bool {
	return w.by != o.by && w.value == o.value && w.next.beacon == o.next.beacon && w.next.name == o.next.name && w.next.due.Equal(o.next.due)
}

// NormalWord is the one form of a lottery's value, in which two entries are
// compared and which is mixed in: numbers and words with one space between
// them, lower case, without leading zeros. The order counts.
func NormalWord(text string) string {
	parts := strings.FieldsFunc(strings.ToLower(norm.NFKC.String(text)), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	for i, p := range parts {
		if short := strings.TrimLeft(p, "0"); strings.Trim(p, "0123456789") == "" {
			if short == "" {
				short = "0"
			}
			parts[i] = short
		}
	}
	return strings.Join(parts, " ")
}

// words reads what was said about an attempt, oldest first.
func words(ctx context.Context, q pg.Querier, d draw.Subject) ([]beaconWord, error) {
	rows, err := q.Query(ctx, `
		SELECT said_by, value, next_beacon, next_name, coalesce(next_due, 'epoch'), said_at FROM waitingroom.beacon_word
		WHERE room_id = $1 AND epoch = $2 AND attempt = $3 ORDER BY said_at`, d.Room, d.Epoch, d.Attempt)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (w beaconWord, err error) {
		err = row.Scan(&w.by, &w.value, &w.next.beacon, &w.next.name, &w.next.due, &w.at)
		return w, err
	})
}

// said is what came of a word.
type said int

const (
	saidFirst   said = iota // the other one is missing
	saidDiffers             // the other one said something else
	saidDone                // two said the same
)

// sayValue enters a lottery's value. It returns Problems for what cannot be.
func (s *Service) sayValue(ctx context.Context, actor, role, roomID, text string) (said, error) {
	value := NormalWord(text)
	if value == "" || len(value) > MaxWord || !strings.ContainsAny(value, "0123456789") {
		return 0, Problems{{Field: "value", Key: "waitingroom.draw.error.value"}}
	}
	return s.say(ctx, actor, role, roomID, beaconWord{by: actor, value: value, next: naming{due: noDue}}, func(d drawRow) error {
		switch {
		case d.beacon != LotteryBeacon:
			return Problems{{Field: "value", Key: "waitingroom.draw.error.no_lottery"}}
		case s.realNow().Before(d.due):
			return Problems{{Field: "value", Key: "waitingroom.draw.error.early"}}
		}
		return nil
	})
}

// sayFailed declares that a beacon's value does not come, and names what is to
// take its place: the next drand round, or a drawing of a lottery that is due at
// a moment of the rooms' time. It returns Problems for what cannot be.
func (s *Service) sayFailed(ctx context.Context, actor, role, roomID string, next Beacon, name string, due time.Time) (said, error) {
	w := beaconWord{by: actor, next: naming{beacon: next, due: noDue}}
	switch next {
	case DrandBeacon:
		if len(s.draws.drand.URLs) == 0 {
			return 0, Problems{{Field: "next", Key: "waitingroom.draw.error.drand"}}
		}
	case LotteryBeacon:
		w.next.name, w.next.due = cleanName(name), draw.Stamp(s.toReal(due)).Truncate(time.Minute)
		if w.next.name == "" || len(w.next.name) > MaxBeaconName || draw.CheckText(w.next.name) != nil {
			return 0, Problems{{Field: "name", Key: "waitingroom.draw.error.name"}}
		}
		switch now := s.realNow(); {
		case !w.next.due.After(now.Add(beaconMargin)):
			return 0, Problems{{Field: "due", Key: "waitingroom.draw.error.due"}}
		case w.next.due.After(now.Add(maxDueAfter)):
			return 0, Problems{{Field: "due", Key: "waitingroom.draw.error.due_far_now"}}
		}
	default:
		return 0, Problems{{Field: "next", Key: "waitingroom.draw.error.next"}}
	}
	return s.say(ctx, actor, role, roomID, w, func(d drawRow) error {
		if s.realNow().Before(d.due.Add(draw.DeclareAfter)) {
			return Problems{{Field: "next", Key: "waitingroom.draw.error.not_late"}}
		}
		return nil
	})
}

// own reports whether the word of an administrator is their own: whose account,
// or its credentials, somebody made after the draw was committed could be the
// second voice of whoever made them. since is what Config.StaffSince told.
func (s *Service) own(ctx context.Context, tx pgx.Tx, d drawRow, since time.Time) (bool, error) {
	var first time.Time
	err := tx.QueryRow(ctx, `SELECT min(committed_at) FROM waitingroom.draw WHERE room_id = $1 AND epoch = $2`, d.Room, d.Epoch).Scan(&first)
	return s.staffSince != nil && s.toReal(since).Before(first), err
}

// say writes a word of an administrator, and does what two agreeing ones mean.
func (s *Service) say(ctx context.Context, actor, role, roomID string, w beaconWord, allowed func(d drawRow) error) (result said, err error) {
	var since time.Time
	if s.staffSince != nil {
		if since, err = s.staffSince(ctx, actor); err != nil {
			return 0, err
		}
	}
	err = pg.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		r, err := readRoom(ctx, tx, roomID, lockBoth)
		if err != nil {
			return err
		}
		if r.Phase != Drawing {
			return Problems{{Field: "value", Key: "waitingroom.draw.error.not_drawing"}}
		}
		d, err := s.lockDraw(ctx, tx, r)
		if err != nil {
			return err
		}
		if !d.closed() || d.value != nil {
			return Problems{{Field: "value", Key: "waitingroom.draw.error.not_drawing"}}
		}
		if err := allowed(d); err != nil {
			return err
		}
		if ok, err := s.own(ctx, tx, d, since); err != nil {
			return err
		} else if !ok {
			return Problems{{Field: "value", Key: "waitingroom.draw.error.account"}}
		}
		w.at = s.realNow()
		var due *time.Time
		if w.next.beacon == LotteryBeacon {
			due = &w.next.due
		}
		_, err = tx.Exec(ctx, `
			INSERT INTO waitingroom.beacon_word (room_id, epoch, attempt, said_by, value, said_at, next_beacon, next_name, next_due)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
			ON CONFLICT (room_id, epoch, attempt, said_by) DO UPDATE
			SET value = excluded.value, said_at = excluded.said_at, next_beacon = excluded.next_beacon, next_name = excluded.next_name, next_due = excluded.next_due`,
			d.Room, d.Epoch, d.Attempt, w.by, w.value, w.at, w.next.beacon, w.next.name, due)
		if err != nil {
			return err
		}
		err = audit.Write(ctx, tx, s.now(), audit.Entry{
			Actor: actor, Role: role, Action: "waitingroom.draw.word", Subject: "room:" + roomID,
			// Without the value: whoever has to enter it too reads this record.
			After: map[string]any{"epoch": d.Epoch, "attempt": d.Attempt, "failed": w.failure(), "next": w.next.beacon, "next_name": w.next.name},
		})
		if err != nil {
			return err
		}
		all, err := words(ctx, tx, d.Subject)
		if err != nil {
			return err
		}
		for _, o := range all {
			switch {
			case w.agrees(o):
				result = saidDone
			case o.by != w.by && result != saidDone:
				result = saidDiffers
			}
		}
		if result != saidDone {
			return nil
		}
		if err := s.auditWords(ctx, tx, actor, role, d, all); err != nil {
			return err
		}
		if w.failure() {
			return s.replaceBeacon(ctx, tx, actor, role, d, w)
		}
		return s.writeValue(ctx, tx, actor, role, d, w.value, "")
	})
	if err != nil {
		return 0, err
	}
	if err := s.Refresh(ctx); err != nil {
		s.log.Warn("said, but the line does not answer yet", "room", roomID, "err", err)
	}
	return result, nil
}

// auditWords writes who said what, once nobody can copy it any more.
func (s *Service) auditWords(ctx context.Context, tx pgx.Tx, actor, role string, d drawRow, all []beaconWord) error {
	type entry struct {
		By    string `json:"by"`
		Value string `json:"value"` // "" = that the beacon has failed
	}
	var entries []entry
	for _, w := range all {
		entries = append(entries, entry{w.by, w.value})
	}
	return audit.Write(ctx, tx, s.now(), audit.Entry{
		Actor: actor, Role: role, Action: "waitingroom.draw.words", Subject: "room:" + d.Room,
		After: map[string]any{"epoch": d.Epoch, "attempt": d.Attempt, "words": entries},
	})
}

// replaceBeacon gives an attempt up and names another value for the same tickets.
func (s *Service) replaceBeacon(ctx context.Context, tx pgx.Tx, actor, role string, d drawRow, w beaconWord) error {
	now := draw.Stamp(s.realNow())
	d.failedAt, d.failedWhy = &now, draw.FailedDeclared
	_, err := tx.Exec(ctx, `
		UPDATE waitingroom.draw SET failed_at = $4, failed_why = $5 WHERE room_id = $1 AND epoch = $2 AND attempt = $3`,
		d.Room, d.Epoch, d.Attempt, now, d.failedWhy)
	if err != nil {
		return err
	}
	if err := s.auditDraw(ctx, tx, actor, role, "waitingroom.draw.failed", d); err != nil {
		return err
	}
	n := s.nameBeacon(w.next.beacon, w.next.name, now)
	if w.next.beacon == LotteryBeacon {
		n.due = w.next.due
	}
	next, err := s.nextAttempt(ctx, tx, d, n)
	if err != nil {
		return err
	}
	return s.writeAttempt(ctx, tx, next)
}

// setDue says when the lottery of a coming draw draws its numbers; at is the
// rooms' time. It returns Problems for what cannot be.
func (s *Service) setDue(ctx context.Context, actor, role, roomID string, at time.Time) error {
	err := pg.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		r, err := readRoom(ctx, tx, roomID, lockBoth)
		if err != nil {
			return err
		}
		epoch := r.Epoch + 1
		if r.begun() {
			epoch = r.Epoch
		}
		due := draw.Stamp(s.toReal(at))
		if r.Plan.OpensAt == nil || !at.After(*r.Plan.OpensAt) {
			return Problems{{Field: "due", Key: "waitingroom.draw.error.due"}}
		}
		if at.After(r.Plan.OpensAt.Add(maxDueAfter)) {
			return Problems{{Field: "due", Key: "waitingroom.draw.error.due_far"}}
		}
		rows, err := tx.Query(ctx, `
			UPDATE waitingroom.draw d SET beacon_due = $3 WHERE room_id = $1 AND epoch = $2 AND closed_at IS NULL AND beacon = 'lottery'
			RETURNING `+drawColumns, roomID, epoch, due)
		if err != nil {
			return err
		}
		d, err := pgx.CollectExactlyOneRow(rows, scanDraw)
		if pg.NoRows(err) {
			return Problems{{Field: "due", Key: "waitingroom.draw.error.no_lottery"}}
		}
		if err != nil {
			return err
		}
		return s.auditDraw(ctx, tx, actor, role, "waitingroom.draw.due", d)
	})
	if err != nil {
		return err
	}
	return s.Refresh(ctx)
}

// How long after its due time a missing value is worth a warning.
const (
	lateDrand   = time.Minute
	lateLottery = 15 * time.Minute
)

// late returns by how much a value is overdue; 0 while it is not.
func (d *drawRow) late(now time.Time) time.Duration {
	wait := lateDrand
	if d.beacon == LotteryBeacon {
		wait = lateLottery
	}
	if over := now.Sub(d.due); d.closed() && d.value == nil && over > wait {
		return over
	}
	return 0
}

// warnLate logs once a minute that a value is overdue.
func (s *Service) warnLate(v *view, d drawRow, now time.Time) {
	over := d.late(now)
	beaconLate.WithLabelValues(v.id).Set(over.Seconds())
	if over == 0 {
		return
	}
	c := s.draws
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.warned[d.Subject]) < time.Minute {
		return
	}
	c.warned[d.Subject] = time.Now()
	s.log.Warn("the beacon is late; the room stays shut", "room", v.id, "epoch", d.Epoch, "attempt", d.Attempt, "name", d.name, "late", over.Round(time.Second))
}

var beaconLate = promauto.NewGaugeVec(prometheus.GaugeOpts{
	Name: "waitingroom_beacon_late_seconds", Help: "By how much the value that a draw waits for is overdue; 0 = it is not.",
}, []string{"room"})
