package waitingroom

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/audit"
	"impfportal/internal/clock"
	"impfportal/internal/code"
	"impfportal/internal/pg"
)

// An admission code (Einlass-Code) is what the hotline gives to a caller who
// cannot stand in the line: it makes a place of [CohortInvited], which waits for
// nobody in the line and shares a part of the rate ([Room.Hotline]) with others
// of its kind. It is good for one place and one stay, for a day, also when a new
// line begins in that day. In a room that demands login
// it is made out to one person and worth nothing to anybody else.
//
// A code has 70 random bits and two check characters, so a mistyped one is named
// as such without asking anybody, and guessing is no way in. Only its keyed hash
// is stored.

const (
	inviteLen = 16 // 14 random characters (70 bits) and 2 check characters
	// InviteLife is how long a code can be used after it was made.
	InviteLife = 24 * time.Hour
)

// CodeExample is shown as a hint beside the field of an admission code.
const CodeExample = "7K2M-9QXD-4TNB-W3RB"

// The errors of admission codes.
var (
	// ErrNoInvites says that the room lets nobody in by a code.
	ErrNoInvites = errors.New("waitingroom: the room takes no admission codes")
	// ErrInviteLimit says that this agent has given out as many codes for the room
	// today as one may.
	ErrInviteLimit = errors.New("waitingroom: no more admission codes today")
	// ErrInvitePerson says that a code of this room is made out to one person, or
	// to nobody, and the call does otherwise.
	ErrInvitePerson = errors.New("waitingroom: the room's codes are for a person, or for nobody")
	// ErrCodeTypo says that a text is no code: somebody mistyped.
	ErrCodeTypo = errors.New("waitingroom: the check characters of the code do not fit")
	// ErrCode says that a code does not count. It says nothing more on purpose.
	ErrCode = errors.New("waitingroom: the code does not count")
)

// Invitation is an admission code as it is handed out, once.
type Invitation struct {
	Room       Room
	Code       string // in groups of four
	ValidUntil time.Time
	Left       int // how many more the agent may give out for the room today
}

// inviteHashes are the keyed hashes of a code under all signing keys, the one in
// use first.
func (s *Signer) inviteHashes(roomID, stored string) [][]byte {
	out := make([][]byte, len(s.keys))
	for i, k := range s.keys {
		m := hmac.New(sha256.New, k.Secret)
		m.Write([]byte("impfportal admission code\x00" + roomID + "\x00" + stored))
		out[i] = m.Sum(nil)
	}
	return out
}

// Invite makes an admission code. personID is whose it is in a room that
// demands login, else "". A person's earlier code that was not used is void from
// then on. It returns ErrNoRoom, ErrNoInvites, ErrInvitePerson, ErrInviteLimit.
func (s *Service) Invite(ctx context.Context, actor, role, roomID, personID string) (Invitation, error) {
	stored := code.New(inviteLen)
	out := Invitation{Code: code.Print(stored)}
	err := pg.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		now := s.roomNow().Truncate(time.Microsecond)
		out.ValidUntil = now.Add(InviteLife)
		// Two tabs of one agent count one after the other.
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtextextended('waitingroom.invite:' || $1, 0))`, actor); err != nil {
			return err
		}
		var err error
		if out.Room, err = readRoom(ctx, tx, roomID, lockNothing); err != nil {
			return err
		}
		switch r := out.Room; {
		case r.Hotline == 0:
			return ErrNoInvites
		case r.Login != (personID != ""):
			return ErrInvitePerson
		}
		var given int
		err = tx.QueryRow(ctx, `SELECT count(*) FROM waitingroom.invite WHERE created_by = $1 AND room_id = $2 AND created_at >= $3`,
			actor, roomID, clock.At(clock.Day(now), 0, 0)).Scan(&given)
		if err != nil {
			return err
		}
		if out.Left = out.Room.Invites - given - 1; out.Left < 0 {
			return ErrInviteLimit
		}
		var person *string
		if personID != "" {
			person = &personID
			_, err = tx.Exec(ctx, `UPDATE waitingroom.invite SET valid_until = $3 WHERE room_id = $1 AND person_id = $2 AND used_at IS NULL AND valid_until > $3`,
				roomID, personID, now)
			if err != nil {
				return err
			}
		}
		var id int64
		err = tx.QueryRow(ctx, `
			INSERT INTO waitingroom.invite (room_id, code_hash, person_id, created_by, created_at, valid_until) VALUES ($1, $2, $3, $4, $5, $6) RETURNING id`,
			roomID, s.keys.inviteHashes(roomID, stored)[0], person, actor, now, out.ValidUntil).Scan(&id)
		if err != nil {
			return err
		}
		after := map[string]any{"invite": id, "room": roomID, "given_today": given + 1}
		subject := "room:" + roomID
		if personID != "" {
			subject = "person:" + personID
		}
		return audit.Write(ctx, tx, s.now(), audit.Entry{Actor: actor, Role: role, Action: "waitingroom.invite", Subject: subject, After: after})
	})
	if err != nil {
		return Invitation{}, err
	}
	return out, nil
}

// Inviting returns the rooms for which codes are given out, those that demand
// login or the others, as this replica knows them, by id.
func (s *Service) Inviting(ctx context.Context, login bool) []Room {
	s.ensure(ctx)
	var out []Room
	for _, id := range s.RoomIDs() {
		if v := s.rooms.Load().views[id]; v != nil {
			if r := v.known.Load(); r.Hotline > 0 && r.Login == login && len(r.Groups) > 0 {
				out = append(out, *r)
			}
		}
	}
	return out
}

// redeem turns a typed code into a place of CohortInvited for whoever has key;
// personID is who is logged in, in a room that demands login. Whoever has used it
// gets the same place again. It returns ErrNotTaking, ErrCodeTypo, ErrCode.
func (s *Service) redeem(ctx context.Context, v *view, typed string, key KeyHash, personID string) (t Ticket, err error) {
	stored, err := code.Parse(typed, inviteLen)
	if err != nil {
		return Ticket{}, ErrCodeTypo
	}
	if err := s.postgresAnswers(ctx); err != nil {
		return Ticket{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, postgresPatience)
	defer cancel()
	defer func() { s.notePostgres(err) }()
	err = pg.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		r, err := readRoom(ctx, tx, v.id, lockNewLines)
		if err != nil {
			return err
		}
		if !r.Phase.TakesPlaces() {
			return ErrNotTaking
		}
		if r.Login != (personID != "") {
			return ErrLoginNeeded // it was changed in this moment
		}
		now := s.roomNow().Truncate(time.Microsecond)
		t, err = s.useCode(ctx, tx, r, stored, key, personID, now)
		if err != nil || personID == "" {
			return err
		}
		return s.holdInvited(ctx, tx, &t, personID, now)
	})
	switch {
	case err == nil, errors.Is(err, ErrCode), errors.Is(err, ErrNotTaking), errors.Is(err, ErrLoginNeeded), errors.Is(err, ErrNoRoom):
		return t, err
	}
	return Ticket{}, fmt.Errorf("%w: admission code: %w", ErrUnavailable, err)
}

// useCode marks a code as used and returns its place. The place of a code moves
// with the line as long as nobody came in by it; whoever was in comes in again
// only while that very stay lasts.
func (s *Service) useCode(ctx context.Context, tx pgx.Tx, r Room, stored string, key KeyHash, personID string, now time.Time) (Ticket, error) {
	var person *string
	if personID != "" {
		person = &personID
	}
	t := Ticket{Place: Place{Room: r.ID, Epoch: r.Epoch, Cohort: CohortInvited}, Key: key}
	lines := make([]int64, 0, r.Epoch) // all so far, for the index of passes
	for epoch := int64(1); epoch <= r.Epoch; epoch++ {
		lines = append(lines, epoch)
	}
	err := tx.QueryRow(ctx, `
		UPDATE waitingroom.invite SET used_at = coalesce(used_at, $4), used_by = $5
		WHERE room_id = $1 AND code_hash = ANY($2) AND person_id IS NOT DISTINCT FROM $3 AND valid_until > $4 AND (used_at IS NULL OR used_by = $5) AND $6
			AND NOT EXISTS (
				SELECT FROM waitingroom.pass p WHERE p.room_id = invite.room_id AND p.epoch = ANY($7) AND p.cohort = $8 AND p.ticket_index = invite.id
					AND (p.epoch <> $9 OR p.released_at IS NOT NULL OR p.expires_at <= $4))
		RETURNING id, used_at`, r.ID, s.keys.inviteHashes(r.ID, stored), person, now, key[:], r.Hotline > 0,
		lines, CohortInvited, r.Epoch).Scan(&t.Index, &t.Issued)
	if pg.NoRows(err) {
		return Ticket{}, ErrCode
	}
	t.Issued = t.Issued.UTC().Truncate(time.Second)
	return t, err
}

// holdInvited makes the place of a code the person's place. Who is inside stays
// so: then the code is not used up, and the place inside is returned.
func (s *Service) holdInvited(ctx context.Context, tx pgx.Tx, t *Ticket, personID string, now time.Time) error {
	tag, err := tx.Exec(ctx, `
		INSERT INTO waitingroom.holder AS h (room_id, epoch, person_id, cohort, ticket_index, issued_at) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (room_id, epoch, person_id) DO UPDATE SET cohort = excluded.cohort, ticket_index = excluded.ticket_index, issued_at = excluded.issued_at
		WHERE NOT EXISTS (
			SELECT FROM waitingroom.pass p WHERE p.room_id = h.room_id AND p.epoch = h.epoch AND p.cohort = h.cohort AND p.ticket_index = h.ticket_index
				AND p.released_at IS NULL AND p.expires_at > $7)`,
		t.Room, t.Epoch, personID, t.Cohort, t.Index, t.Issued, now)
	if err != nil || tag.RowsAffected() == 1 {
		return err
	}
	h := held{Place: Place{Room: t.Room, Epoch: t.Epoch}}
	err = tx.QueryRow(ctx, `SELECT cohort, ticket_index, issued_at FROM waitingroom.holder WHERE room_id = $1 AND epoch = $2 AND person_id = $3`,
		t.Room, t.Epoch, personID).Scan(&h.Cohort, &h.Index, &h.issued)
	if err != nil {
		return err
	}
	if h.Place != t.Place {
		_, err = tx.Exec(ctx, `UPDATE waitingroom.invite SET used_at = NULL, used_by = NULL WHERE id = $1`, t.Index)
	}
	*t = h.ticket(personID)
	return err
}
