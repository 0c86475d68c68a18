package booking

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/audit"
	"impfportal/citizen"
	"impfportal/internal/id"
	"impfportal/internal/pg"
)

// What can be answered to an offer.
const (
	AnswerAccept  = "accept"
	AnswerDecline = "decline" // not this one: stays on the list
	AnswerRemove  = "remove"  // no offers any more: off the list
)

// What became of an offer; "" = it is open.
const (
	OfferAccepted   = "accepted"
	OfferDeclined   = "declined"
	OfferRemoved    = "removed"
	OfferUnanswered = "unanswered"
)

// The ways an answer comes.
const (
	viaLink    = "link"
	viaSMS     = "sms"
	viaCall    = "call"
	viaAccount = "account"
)

// waitingOffer is an offer to somebody on the waiting list.
type waitingOffer struct {
	ID, WaitingID, PersonID, SeriesID string
	Origin                            string
	Round                             int
	Means                             string
	MadeAt, Until                     time.Time
	Answer                            string
	Via                               string
}

// Open reports whether it can be answered at that time.
func (o waitingOffer) Open(now time.Time) bool { return o.Answer == "" && now.Before(o.Until) }

const offerColumns = `o.id::text, o.waiting_id::text, o.person_id::text, o.series_id::text, o.origin::text, o.round, o.means, o.made_at, o.until, coalesce(o.answer, ''), o.via`

func offersWhere(ctx context.Context, q pg.Querier, where string, args ...any) ([]waitingOffer, error) {
	rows, err := q.Query(ctx, `SELECT `+offerColumns+` FROM booking.waiting_offer o WHERE `+where, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[waitingOffer])
}

// newOfferToken makes what the link of an offer holds: 256 random bits, of which
// the database keeps the hash.
func newOfferToken() (token string, hash []byte) {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails (Go 1.24 and later)
	token = base64.RawURLEncoding.EncodeToString(b)
	return token, offerTokenHash(token)
}

func offerTokenHash(token string) []byte {
	sum := sha256.Sum256([]byte(token))
	return sum[:]
}

// offerByToken returns the offer of a link, or ErrNotFound.
func offerByToken(ctx context.Context, q pg.Querier, token string) (waitingOffer, error) {
	if len(token) != 43 {
		return waitingOffer{}, ErrNotFound
	}
	list, err := offersWhere(ctx, q, `o.token = $1`, offerTokenHash(token))
	if err == nil && len(list) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return waitingOffer{}, err
	}
	return list[0], nil
}

// answerOffer carries an answer out: accepting confirms the series, declining
// gives its places to the next, removing takes the person off the list besides.
// It returns the offer as it is then: answering twice, or too late, changes
// nothing, and Answer says what holds.
func (s *Service) answerOffer(ctx context.Context, offerID, answer, via string, by By) (out waitingOffer, err error) {
	if !id.Valid(offerID) {
		return out, ErrNotFound
	}
	now := s.Now()
	err = pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		var touch *time.Time
		if answer != AnswerAccept { // their time limit begins anew
			touch = &now
		}
		o, state, err := lockOffer(ctx, tx, offerID, touch)
		if err != nil {
			return err
		}
		if out = o; o.Answer != "" {
			return nil
		}
		if state != StateHeld || !now.Before(o.Until) {
			if state == StateHeld { // over, and nobody has ended it yet
				out.Answer = OfferUnanswered
				return nil
			}
			out.Answer, err = s.settle(ctx, tx, o, state, now)
			return err
		}
		switch answer {
		case AnswerAccept:
			if _, err := tx.Exec(ctx, `SELECT booking.confirm($1, $2, $3, $4)`, now, o.SeriesID, o.PersonID, confirmed.Name()); err != nil {
				return engineError(err)
			}
			out.Answer = OfferAccepted
		case AnswerDecline, AnswerRemove:
			if _, err := tx.Exec(ctx, `SELECT booking.cancel($1, $2, $3)`, now, o.SeriesID, o.PersonID); err != nil {
				return engineError(err)
			}
			if err := endedBy(ctx, tx, o.SeriesID, by); err != nil {
				return err
			}
			out.Answer = OfferDeclined
			if answer == AnswerRemove {
				out.Answer = OfferRemoved
			}
		default:
			return fmt.Errorf("%w: answer %q", ErrInvalid, answer)
		}
		out.Via = via
		return s.store(ctx, tx, o, out.Answer, via, now, by)
	})
	return out, err
}

// OpenOffer is an offer that waits for the answer of a person.
type OpenOffer struct {
	ID, SeriesID string
	Until        time.Time
}

// OpenOfferOf returns the offer that waits for the answer of a person, or nil.
func OpenOfferOf(ctx context.Context, q pg.Querier, personID string, now time.Time) (*OpenOffer, error) {
	list, err := offersWhere(ctx, q, `o.person_id = $1 AND o.answer IS NULL AND o.until > $2
		AND EXISTS (SELECT FROM booking.series s WHERE s.id = o.series_id AND s.state = 'held') ORDER BY o.made_at DESC LIMIT 1`, personID, now)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	return &OpenOffer{list[0].ID, list[0].SeriesID, list[0].Until}, nil
}

// AnswerOffer notes what a person told somebody on the telephone, who is by:
// AnswerAccept, AnswerDecline or AnswerRemove. It returns what holds then
// (OfferAccepted ...): answering twice, or too late, changes nothing. ErrNotFound
// for somebody else's offer, ErrInvalid for another answer.
func (s *Service) AnswerOffer(ctx context.Context, offerID, personID, answer string, by By) (string, error) {
	after, err := s.answerFor(ctx, offerID, personID, answer, viaCall, by)
	return after.Answer, err
}

// answerFor is answerOffer for an offer that must be that person's, or ErrNotFound.
func (s *Service) answerFor(ctx context.Context, offerID, personID, answer, via string, by By) (out waitingOffer, err error) {
	if !id.Valid(offerID) || !id.Valid(personID) {
		return out, ErrNotFound
	}
	list, err := offersWhere(ctx, s.Pool, `o.id = $1 AND o.person_id = $2`, offerID, personID)
	if err != nil {
		return out, err
	}
	if len(list) == 0 {
		return out, ErrNotFound
	}
	return s.answerOffer(ctx, offerID, answer, via, by)
}

// lockOffer locks the series, as everybody does first, then the offer; touch begins the
// time limit of the registration anew in between, because a change of contact locks the
// registration before the offer. nil = not.
func lockOffer(ctx context.Context, tx pgx.Tx, offerID string, touch *time.Time) (o waitingOffer, state string, err error) {
	var personID string
	err = tx.QueryRow(ctx, `SELECT state, person_id::text FROM booking.series WHERE id = (SELECT series_id FROM booking.waiting_offer WHERE id = $1) FOR UPDATE`, offerID).
		Scan(&state, &personID)
	if pg.NoRows(err) {
		return o, "", ErrNotFound
	}
	if err != nil {
		return o, "", err
	}
	if touch != nil {
		if err := citizen.Touch(ctx, tx, personID, *touch); err != nil {
			return o, "", err
		}
	}
	list, err := offersWhere(ctx, tx, `o.id = $1 FOR UPDATE`, offerID)
	if err == nil && len(list) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return o, "", err
	}
	return list[0], state, nil
}

// settle notes what became of an offer whose series is not held any more: it was
// confirmed or given back where the person is logged in, or nobody answered.
func (s *Service) settle(ctx context.Context, tx pgx.Tx, o waitingOffer, state string, now time.Time) (answer string, err error) {
	by, via := By{"citizen:" + o.PersonID, "citizen"}, viaAccount
	switch state {
	case StateConfirmed, StateEnded:
		answer = OfferAccepted
	case StateCancelled:
		var byStaff bool
		if err := tx.QueryRow(ctx, `SELECT ended_by_staff FROM booking.series WHERE id = $1`, o.SeriesID).Scan(&byStaff); err != nil {
			return "", err
		}
		if byStaff { // it was taken from them: they said nothing, and it counts for nothing
			return OfferUnanswered, s.note(ctx, tx, o, OfferUnanswered, "", now, By{"system", "system"})
		}
		answer = OfferDeclined
	default:
		answer, via, by = OfferUnanswered, "", By{"system", "system"}
	}
	return answer, s.store(ctx, tx, o, answer, via, now, by)
}

// store writes an answer down and what follows from it for the entry. Who does
// not answer twice in a row, or declines five times, is not asked any more until
// they say that they still wait.
func (s *Service) store(ctx context.Context, tx pgx.Tx, o waitingOffer, answer, via string, now time.Time, by By) error {
	if err := s.note(ctx, tx, o, answer, via, now, by); err != nil {
		return err
	}
	switch answer {
	case OfferAccepted:
		return endWaiting(ctx, tx, now, o.WaitingID, WaitingDone, by)
	case OfferRemoved: // who comes back has declined it
		if _, err := tx.Exec(ctx, `UPDATE booking.waiting SET unanswered = 0, declined = declined + 1 WHERE id = $1`, o.WaitingID); err != nil {
			return err
		}
		return endWaiting(ctx, tx, now, o.WaitingID, WaitingWithdrawn, by)
	}
	var paused bool
	err := tx.QueryRow(ctx, `
		UPDATE booking.waiting SET
			unanswered = CASE WHEN $2 THEN unanswered + 1 ELSE 0 END, declined = declined + CASE WHEN $2 THEN 0 ELSE 1 END, changed_at = $3,
			state = CASE WHEN state = 'waiting' AND (CASE WHEN $2 THEN unanswered + 1 >= $4 ELSE declined + 1 >= $5 END) THEN 'paused' ELSE state END
		WHERE id = $1 RETURNING state = 'paused'`,
		o.WaitingID, answer == OfferUnanswered, now, maxUnanswered, maxDeclined).Scan(&paused)
	if pg.NoRows(err) {
		return nil
	}
	if err != nil || !paused {
		return err
	}
	return s.tellPaused(ctx, tx, o.PersonID)
}

// note writes an answer down, and in the record.
func (s *Service) note(ctx context.Context, tx pgx.Tx, o waitingOffer, answer, via string, now time.Time, by By) error {
	if _, err := tx.Exec(ctx, `UPDATE booking.waiting_offer SET answer = $2, via = $3, answered_at = $4 WHERE id = $1`, o.ID, answer, via, now); err != nil {
		return err
	}
	return audit.Write(ctx, tx, now, audit.Entry{
		Actor: by.Actor, Role: by.Role, Action: "booking.offer-answer", Subject: "waiting:" + o.WaitingID,
		After: map[string]any{"series": o.SeriesID, "answer": answer, "via": via},
	})
}

// SettleOffers notes what became of offers that were not answered by their link,
// and ends the entries of people who have appointments now. It returns how many
// offers it settled.
func (s *Service) SettleOffers(ctx context.Context) (n int, err error) {
	rows, err := s.Pool.Query(ctx, `
		SELECT o.id::text FROM booking.waiting_offer o LEFT JOIN booking.series s ON s.id = o.series_id
		WHERE o.answer IS NULL AND s.state IS DISTINCT FROM 'held' ORDER BY o.until LIMIT 1000`)
	if err != nil {
		return 0, err
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return 0, err
	}
	now := s.Now()
	for _, offerID := range ids {
		if err := pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
			o, state, err := lockOffer(ctx, tx, offerID, nil)
			if err != nil || o.Answer != "" || state == StateHeld {
				return err
			}
			_, err = s.settle(ctx, tx, o, state, now)
			return err
		}); err != nil {
			return n, fmt.Errorf("settle offer %s: %w", offerID, err)
		}
		n++
	}
	rows, err = s.Pool.Query(ctx, `
		SELECT id::text FROM booking.waiting w WHERE ended_at IS NULL
		AND EXISTS (SELECT FROM booking.series s WHERE s.person_id = w.person_id AND s.programme_id = w.programme_id AND s.state = 'confirmed')`)
	if err != nil {
		return n, err
	}
	done, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return n, err
	}
	for _, waitingID := range done {
		if err := pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
			return endWaiting(ctx, tx, now, waitingID, WaitingDone, By{"system", "system"})
		}); err != nil {
			return n, err
		}
	}
	return n, nil
}
