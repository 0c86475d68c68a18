package waitingroom

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/pg"
	"impfportal/internal/vault"
	"impfportal/internal/web"
	"impfportal/notify"
)

// A reminder (Erinnerung) is a message shortly before it is one's turn, by
// e-mail or SMS, for those who asked for it. The address stands in a row of its
// ticket, sealed under a key that it shares with nothing else. The message and
// the mark that it was sent are written in one transaction; the message is
// sealed under the same key, so it ends with it.

// remindAhead is how long before one's turn, by the shortest estimate, the
// reminder is sent.
const remindAhead = 10 * time.Minute

// reminderLife is how long a reminder is kept after it was sent. A message that
// could not be delivered by then is of no use any more.
const reminderLife = 6 * time.Hour

// errTold says that the reminder has been sent.
var errTold = errors.New("waitingroom: the reminder has been sent")

// reminding is what sending reminders needs.
type reminding struct {
	notify *notify.Service
	vault  *vault.Vault
	base   string
}

func (r reminding) offered() bool { return r.notify != nil && r.vault != nil }

// texts are the slice's words where no request tells the language.
var texts = web.LoadTexts(Assets)

// contact is what is sealed in a row.
type contact struct {
	Email string `json:"email,omitempty"`
	Phone string `json:"phone,omitempty"` // E.164
	Lang  string `json:"lang"`
}

// kind says in one word how it reaches somebody.
func (c contact) kind() string {
	switch {
	case c.Email != "" && c.Phone != "":
		return "both"
	case c.Phone != "":
		return "sms"
	}
	return "email"
}

// sealContext binds a sealed contact to its place.
func (p Place) sealContext() string { return "waitingroom.reminder " + p.ID() }

// setReminder stores where somebody wants to be told, or stores it anew. It
// returns errTold when the message is out already.
func (s *Service) setReminder(ctx context.Context, p Place, to contact) error {
	var position *int64
	if p.Cohort != CohortDrawn { // of those the lot decides
		position = &p.Index
	}
	store := func(tx pgx.Tx) error {
		var (
			keyID string
			told  *time.Time
		)
		err := tx.QueryRow(ctx, `
			SELECT key_id, told_at FROM waitingroom.reminder WHERE room_id = $1 AND epoch = $2 AND cohort = $3 AND ticket_index = $4 FOR UPDATE`,
			p.Room, p.Epoch, p.Cohort, p.Index).Scan(&keyID, &told)
		if err != nil && !pg.NoRows(err) {
			return err
		}
		known := err == nil
		if told != nil {
			return errTold
		}
		var key vault.Key
		if known {
			key, err = s.remind.vault.Open(ctx, tx, keyID)
		} else {
			key, err = s.remind.vault.NewKey(ctx, tx)
		}
		if err != nil {
			return err
		}
		sealed, err := key.SealJSON(p.sealContext(), to)
		if err != nil {
			return err
		}
		if known {
			_, err = tx.Exec(ctx, `UPDATE waitingroom.reminder SET sealed = $5 WHERE room_id = $1 AND epoch = $2 AND cohort = $3 AND ticket_index = $4`,
				p.Room, p.Epoch, p.Cohort, p.Index, sealed)
			return err
		}
		_, err = tx.Exec(ctx, `
			INSERT INTO waitingroom.reminder (room_id, epoch, cohort, ticket_index, key_id, sealed, created_at, position) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
			p.Room, p.Epoch, p.Cohort, p.Index, key.ID, sealed, s.roomNow(), position)
		return err
	}
	err := pg.InTx(ctx, s.pool, store)
	if pg.IsUnique(err) { // twice in the same moment
		err = pg.InTx(ctx, s.pool, store)
	}
	return err
}

// dropReminder takes the reminder of a place back, sent or not.
func (s *Service) dropReminder(ctx context.Context, p Place) error {
	return pg.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		_, err := s.deleteReminders(ctx, tx, `room_id = $1 AND epoch = $2 AND cohort = $3 AND ticket_index = $4`, p.Room, p.Epoch, p.Cohort, p.Index)
		return err
	})
}

// deleteReminders deletes rows and destroys their keys.
func (s *Service) deleteReminders(ctx context.Context, tx pgx.Tx, where string, args ...any) (int64, error) {
	rows, err := tx.Query(ctx, `DELETE FROM waitingroom.reminder WHERE `+where+` RETURNING key_id::text`, args...)
	if err != nil {
		return 0, err
	}
	keys, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return 0, err
	}
	for _, id := range keys {
		if err := s.remind.vault.Destroy(ctx, tx, id); err != nil {
			return 0, err
		}
	}
	return int64(len(keys)), nil
}

// endReminders deletes up to limit rows that have done their work: sent long
// enough ago, or of a line that has ended.
func (s *Service) endReminders(ctx context.Context, tx pgx.Tx, now time.Time, limit int) (int64, error) {
	return s.deleteReminders(ctx, tx, `(room_id, epoch, cohort, ticket_index) IN (
		SELECT m.room_id, m.epoch, m.cohort, m.ticket_index FROM waitingroom.reminder m LEFT JOIN waitingroom.line l USING (room_id)
		WHERE m.told_at < $1 OR m.created_at < $2 OR m.epoch IS DISTINCT FROM l.epoch LIMIT $3 FOR UPDATE OF m SKIP LOCKED)`,
		now.Add(-reminderLife), now.Add(-TicketLife), limit)
}

// remindBatch is how many reminders are looked at together.
const remindBatch = 200

// remindDue sends the reminders whose turn is near and ends those that are
// over. A run that is killed goes on at the next.
func (s *Service) remindDue(ctx context.Context, _ time.Time) error {
	if !s.remind.offered() {
		return nil
	}
	s.ensure(ctx)
	var errs []error
	for id, v := range s.rooms.Load().views {
		if err := s.remindRoom(ctx, v); err != nil {
			errs = append(errs, fmt.Errorf("reminders of room %s: %w", id, err))
		}
	}
	for {
		var n int64
		err := pg.InTx(ctx, s.pool, func(tx pgx.Tx) (err error) {
			n, err = s.endReminders(ctx, tx, s.roomNow(), remindBatch)
			return err
		})
		if err != nil || n < remindBatch {
			return errors.Join(append(errs, err)...)
		}
	}
}

// remindRoom tells those of one room who are to come in soon.
func (s *Service) remindRoom(ctx context.Context, v *view) error {
	st, err := s.State(v.id)
	if err != nil || st.Phase != Open || st.Trouble || st.Epoch != v.known.Load().Epoch {
		return nil //nolint:nilerr // nobody is called now
	}
	if err := s.placeReminders(ctx, v, st.Epoch); err != nil {
		return err
	}
	near := int64(st.Pace.Fast*remindAhead.Minutes()) + 1
	for _, lane := range []struct {
		behind bool
		upTo   int64
	}{{false, Advance(st.Serving, near, st.gaps())}, {true, st.BehindServing + max(0, near-st.Waiting)}} {
		for {
			n := 0
			err := pg.InTx(ctx, s.pool, func(tx pgx.Tx) (err error) {
				n, err = s.tell(ctx, tx, v, st, lane.behind, lane.upTo)
				return err
			})
			if err != nil {
				return err
			}
			if n < remindBatch {
				break
			}
		}
	}
	return nil
}

// placeReminders gives drawn places their position, once the draw is over.
func (s *Service) placeReminders(ctx context.Context, v *view, epoch int64) error {
	lot := v.lot.Load()
	for lot != nil {
		rows, err := s.pool.Query(ctx, `
			SELECT ticket_index FROM waitingroom.reminder
			WHERE room_id = $1 AND epoch = $2 AND cohort = $3 AND position IS NULL AND told_at IS NULL LIMIT 2000`, v.id, epoch, CohortDrawn)
		if err != nil {
			return err
		}
		indexes, err := pgx.CollectRows(rows, pgx.RowTo[int64])
		if err != nil || len(indexes) == 0 {
			return err
		}
		positions := make([]int64, len(indexes))
		for i, index := range indexes {
			positions[i], _ = lot.Place(index) // 0, told at once, for an index that no lot knows
		}
		_, err = s.pool.Exec(ctx, `
			UPDATE waitingroom.reminder m SET position = n.position FROM unnest($4::bigint[], $5::bigint[]) AS n (ticket_index, position)
			WHERE m.room_id = $1 AND m.epoch = $2 AND m.cohort = $3 AND m.ticket_index = n.ticket_index`, v.id, epoch, CohortDrawn, indexes, positions)
		if err != nil {
			return err
		}
	}
	return nil
}

// dueReminder is a row whose owner is to be told.
type dueReminder struct {
	cohort, index, position int64
	keyID                   string
	sealed                  []byte
	inside                  bool // came in already
}

// tell marks and sends up to remindBatch reminders of one lane, and returns how
// many it found.
func (s *Service) tell(ctx context.Context, tx pgx.Tx, v *view, st State, behind bool, upTo int64) (int, error) {
	rows, err := tx.Query(ctx, `
		SELECT m.cohort, m.ticket_index, m.position, m.key_id::text, m.sealed, EXISTS (
			SELECT FROM waitingroom.pass p WHERE p.room_id = m.room_id AND p.epoch = m.epoch AND p.cohort = m.cohort AND p.ticket_index = m.ticket_index)
		FROM waitingroom.reminder m
		WHERE m.room_id = $1 AND m.epoch = $2 AND (m.cohort = 2) = $3 AND m.position <= $4 AND m.told_at IS NULL
		ORDER BY m.position LIMIT $5 FOR UPDATE OF m SKIP LOCKED`, v.id, st.Epoch, behind, upTo, remindBatch)
	if err != nil {
		return 0, err
	}
	due, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (d dueReminder, err error) {
		return d, row.Scan(&d.cohort, &d.index, &d.position, &d.keyID, &d.sealed, &d.inside)
	})
	if err != nil {
		return 0, err
	}
	for _, d := range due {
		p := Place{Room: v.id, Epoch: st.Epoch, Cohort: d.cohort, Index: d.index}
		if d.inside {
			if _, err := s.deleteReminders(ctx, tx, `room_id = $1 AND epoch = $2 AND cohort = $3 AND ticket_index = $4`, p.Room, p.Epoch, p.Cohort, p.Index); err != nil {
				return 0, err
			}
			continue
		}
		if err := s.tellOne(ctx, tx, v, st, p, d); err != nil {
			return 0, err
		}
	}
	return len(due), nil
}

func (s *Service) tellOne(ctx context.Context, tx pgx.Tx, v *view, st State, p Place, d dueReminder) error {
	_, err := tx.Exec(ctx, `UPDATE waitingroom.reminder SET told_at = $5 WHERE room_id = $1 AND epoch = $2 AND cohort = $3 AND ticket_index = $4`,
		p.Room, p.Epoch, p.Cohort, p.Index, s.roomNow())
	if err != nil {
		return err
	}
	key, err := s.remind.vault.Open(ctx, tx, d.keyID)
	if errors.Is(err, vault.ErrDestroyed) {
		return nil
	}
	if err != nil {
		return err
	}
	var to contact
	if err := key.UnsealJSON(p.sealContext(), d.sealed, &to); err != nil {
		return err
	}
	if to.Email == "" && to.Phone == "" {
		return nil // its addresses had enough of messages
	}
	say := func(key string, args ...any) string { return texts.Say(to.Lang, key, args...) }
	how := s.turnOf(v, st, p)
	wait := say("waitingroom.reminder.now")
	if e := EstimateFor(how.Ahead, st.Pace); !how.Now && e.Low > 0 {
		w := waitOf(say, e)
		wait = say("waitingroom.reminder.wait", "Wait", say("waitingroom.wait."+w.Kind, "Low", w.Low, "High", w.High))
	}
	args := []any{"Wait", wait, "URL", s.remind.base + linePath(v.id, "")}
	return s.remind.notify.Send(ctx, tx, notify.Recipient{KeyID: d.keyID, Email: to.Email, Phone: to.Phone, Lang: to.Lang}, notify.Message{
		Kind: "waitingroom.reminder", Subject: say("waitingroom.reminder.subject", args...),
		Text: say("waitingroom.reminder.text", args...), SMS: say("waitingroom.reminder.sms", args...),
	})
}
