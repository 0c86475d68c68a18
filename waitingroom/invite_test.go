package waitingroom

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/code"
	"impfportal/internal/id"
	"impfportal/internal/pg"
)

const agent = "staff:agent"

func (f *fixture) invite(t *testing.T, roomID, personID string) Invitation {
	t.Helper()
	inv, err := f.replicas[0].Invite(context.Background(), agent, "agent", roomID, personID)
	if err != nil {
		t.Fatalf("invite: %v", err)
	}
	return inv
}

func browserHash() KeyHash {
	h, _ := HashKey(NewKey())
	return h
}

func TestCodeExampleIsACode(t *testing.T) {
	t.Parallel()
	if _, err := code.Parse(CodeExample, inviteLen); err != nil {
		t.Error(err)
	}
}

// A code is good for one place, whoever comes at the same moment.
func TestCodeCountsOnce(t *testing.T) {
	t.Parallel()
	f := setup(t, 3)
	ctx := context.Background()
	inv := f.invite(t, room, "")
	if inv.Left != 39 || inv.ValidUntil.Sub(f.now()) > InviteLife+time.Second || len(inv.Code) != 19 {
		t.Errorf("%+v", inv)
	}
	if n := f.count(t, `SELECT count(*) FROM waitingroom.invite WHERE code_hash::text LIKE '%' || $1 || '%'`, strings.ReplaceAll(inv.Code, "-", "")); n != 0 {
		t.Error("the code stands in the database")
	}
	if n := f.count(t, `SELECT count(*) FROM audit.entry WHERE action = 'waitingroom.invite' AND actor = $1`, agent); n != 1 {
		t.Errorf("%d entries of audit", n)
	}
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		wins []Ticket
	)
	for i := range 20 {
		wg.Go(func() {
			s := f.replicas[i%3]
			hash := browserHash()
			ticket, err := s.redeem(ctx, s.rooms.Load().views[room], strings.ToLower(inv.Code), hash, "")
			for errors.Is(err, ErrUnavailable) { // twenty at one row: who waits too long tries again
				ticket, err = s.redeem(ctx, s.rooms.Load().views[room], strings.ToLower(inv.Code), hash, "")
			}
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				wins = append(wins, ticket)
			} else if !errors.Is(err, ErrCode) {
				t.Errorf("redeem: %v", err)
			}
		})
	}
	wg.Wait()
	if len(wins) != 1 || wins[0].Cohort != CohortInvited {
		t.Fatalf("%d places: %+v", len(wins), wins)
	}
	// Whoever has it gets it again, for the answer may have been lost.
	s := f.replicas[0]
	again, err := s.redeem(ctx, s.rooms.Load().views[room], " "+strings.ReplaceAll(inv.Code, "-", " "), wins[0].Key, "")
	if err != nil || again != wins[0] {
		t.Errorf("again: %+v, %v", again, err)
	}
	f.enter(t, s, wins[0], Admitted)
	if err := s.Release(ctx, wins[0].ID()); err != nil {
		t.Fatal(err)
	}
	f.enter(t, s, wins[0], Used)
}

// A new line begins: who was in by a code is not let in by it again; a code that
// let nobody in gets a place in the new line.
func TestCodeOverANewLine(t *testing.T) {
	t.Parallel()
	f := setup(t, 2)
	ctx, s := context.Background(), f.replicas[0]
	me := id.New()
	redeem := func(roomID, typed string, key KeyHash, person string) (Ticket, error) {
		return s.redeem(ctx, s.rooms.Load().views[roomID], typed, key, person)
	}
	codes := map[string]struct {
		room, person string
		key          KeyHash
	}{"open": {room, "", browserHash()}, "login": {loginRoom, me, HashPerson(me)}}
	spent, unused := map[string]string{}, f.invite(t, room, "").Code
	waiting := browserHash()
	if _, err := redeem(room, unused, waiting, ""); err != nil {
		t.Fatal(err)
	}
	for name, c := range codes {
		spent[name] = f.invite(t, c.room, c.person).Code
		ticket, err := redeem(c.room, spent[name], c.key, c.person)
		if err != nil {
			t.Fatal(err)
		}
		f.enter(t, s, ticket, Admitted)
		// While the stay lasts, the same browser finds it again.
		again, err := redeem(c.room, spent[name], c.key, c.person)
		if err != nil || again.Place != ticket.Place {
			t.Errorf("%s: inside: %+v, %v", name, again, err)
		}
		f.enter(t, s, again, Admitted)
		if err := s.Release(ctx, ticket.ID()); err != nil {
			t.Fatal(err)
		}
		if _, err := redeem(c.room, spent[name], c.key, c.person); name == "open" && !errors.Is(err, ErrCode) {
			t.Errorf("%s: after the stay: %v", name, err)
		}
	}
	for range 2 { // lines
		for _, roomID := range []string{room, loginRoom} {
			for _, c := range []Change{{Phase: ptr(Closed)}, {NewLine: true}, {Phase: ptr(Open)}} {
				if _, err := s.SetValve(ctx, "staff:test", "admin", roomID, c); err != nil {
					t.Fatal(err)
				}
			}
		}
		f.refresh(t)
		for name, c := range codes {
			if ticket, err := redeem(c.room, spent[name], c.key, c.person); !errors.Is(err, ErrCode) {
				t.Errorf("%s: in the new line: %+v, %v", name, ticket, err)
			}
		}
	}
	ticket, err := redeem(room, unused, waiting, "")
	if err != nil || ticket.Epoch != 3 {
		t.Fatalf("not in yet: %+v, %v", ticket, err)
	}
	f.enter(t, s, ticket, Admitted)
}

func TestCodesThatDoNotCount(t *testing.T) {
	t.Parallel()
	f := setup(t, 1)
	ctx, s := context.Background(), f.replicas[0]
	me, other := id.New(), id.New()
	open, login := s.rooms.Load().views[room], s.rooms.Load().views[loginRoom]
	free, mine := f.invite(t, room, ""), f.invite(t, loginRoom, me)
	for what, c := range map[string]struct {
		v      *view
		typed  string
		person string
		want   error
	}{
		"nothing":         {open, "", "", ErrCodeTypo},
		"a typing error":  {open, strings.Replace(free.Code, free.Code[:1], map[bool]string{true: "3", false: "7"}[free.Code[0] == '7'], 1), "", ErrCodeTypo},
		"guessed":         {open, code.New(inviteLen), "", ErrCode},
		"another room":    {login, free.Code, me, ErrCode},
		"another person":  {login, mine.Code, other, ErrCode},
		"without a login": {open, mine.Code, "", ErrCode},
	} {
		key := browserHash()
		if c.person != "" {
			key = HashPerson(c.person)
		}
		if _, err := s.redeem(ctx, c.v, c.typed, key, c.person); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", what, err, c.want)
		}
	}
	// A newer one for the same person makes the older void.
	newer := f.invite(t, loginRoom, me)
	if _, err := s.redeem(ctx, login, mine.Code, HashPerson(me), me); !errors.Is(err, ErrCode) {
		t.Errorf("the older code: %v", err)
	}
	// Not while the room takes nobody; the code is kept.
	f.phase(t, loginRoom, Closed)
	if _, err := s.redeem(ctx, login, newer.Code, HashPerson(me), me); !errors.Is(err, ErrNotTaking) {
		t.Errorf("closed: %v", err)
	}
	f.phase(t, loginRoom, Open)
	f.edit(t, loginRoom, Settings{Hotline: ptr(0)})
	if _, err := s.redeem(ctx, login, newer.Code, HashPerson(me), me); !errors.Is(err, ErrCode) {
		t.Errorf("no share: %v", err)
	}
	if _, err := s.Invite(ctx, agent, "agent", loginRoom, me); !errors.Is(err, ErrNoInvites) {
		t.Errorf("a code for a room that takes none: %v", err)
	}
	if list := s.Inviting(ctx, true); len(list) != 0 {
		t.Errorf("the desk offers %v", list)
	}
	f.edit(t, loginRoom, Settings{Hotline: ptr(5)})
	if ticket, err := s.redeem(ctx, login, newer.Code, HashPerson(me), me); err != nil || ticket.Key != HashPerson(me) {
		t.Errorf("in the end: %+v, %v", ticket, err)
	}
	// A day later it is over.
	f.pass(t, InviteLife+time.Minute)
	if _, err := s.redeem(ctx, open, free.Code, browserHash(), ""); !errors.Is(err, ErrCode) {
		t.Errorf("after a day: %v", err)
	}
	for what, c := range map[string]struct {
		room, person string
		want         error
	}{
		"for nobody, with login":      {loginRoom, "", ErrInvitePerson},
		"for somebody, without login": {room, me, ErrInvitePerson},
		"for no room":                 {"nowhere", "", ErrNoRoom},
	} {
		if _, err := s.Invite(ctx, agent, "agent", c.room, c.person); !errors.Is(err, c.want) {
			t.Errorf("a code %s: %v", what, err)
		}
	}
}

// An agent gives out so many codes a day and no more, in however many windows.
func TestCodesPerAgentAndDay(t *testing.T) {
	t.Parallel()
	f := setup(t, 2)
	f.edit(t, room, Settings{Invites: ptr(3)})
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		given int
	)
	for i := range 12 {
		wg.Go(func() {
			_, err := f.replicas[i%2].Invite(context.Background(), agent, "agent", room, "")
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				given++
			case !errors.Is(err, ErrInviteLimit):
				t.Errorf("invite: %v", err)
			}
		})
	}
	wg.Wait()
	if given != 3 {
		t.Errorf("%d codes, want 3", given)
	}
	if _, err := f.replicas[0].Invite(context.Background(), "staff:other", "agent", room, ""); err != nil {
		t.Errorf("another agent: %v", err)
	}
	f.pass(t, 24*time.Hour)
	if inv := f.invite(t, room, ""); inv.Left != 2 {
		t.Errorf("the next day %d are left", inv.Left)
	}
}

// Guests have their share of the rate and no more, and those in the line the rest.
func TestShareOfGuests(t *testing.T) {
	t.Parallel()
	f := setup(t, 1)
	ctx, s := context.Background(), f.replicas[0]
	f.edit(t, room, Settings{Rate: ptr(600), Bound: ptr(1000), Hotline: ptr(10), Invites: ptr(500)})
	v := s.rooms.Load().views[room]
	var guests, line []Ticket
	for range 200 {
		inv := f.invite(t, room, "")
		ticket, err := s.redeem(ctx, v, inv.Code, browserHash(), "")
		if err != nil {
			t.Fatal(err)
		}
		guests, line = append(guests, ticket), append(line, f.join(t, s))
	}
	in := map[bool]int{}
	for range 60 { // a minute, second by second
		f.pass(t, time.Second)
		for _, ticket := range guests[in[true]:min(len(guests), in[true]+5)] {
			if _, verdict, err := s.Enter(ctx, ticket); err != nil {
				t.Fatal(err)
			} else if verdict == Admitted {
				in[true]++
			}
		}
		for _, ticket := range line[in[false]:min(len(line), in[false]+12)] {
			if _, verdict, err := s.Enter(ctx, ticket); err != nil {
				t.Fatal(err)
			} else if verdict == Admitted {
				in[false]++
			}
		}
	}
	if in[true] > 61 || in[true] < 50 {
		t.Errorf("%d guests in a minute, their share is 60", in[true])
	}
	if in[false] < 150 {
		t.Errorf("%d of 200 from the line came in beside the guests", in[false])
	}
}

func TestCodeOnThePage(t *testing.T) {
	t.Parallel()
	w := loginSite(t)
	w.line(t)
	me := person()
	w.app.LoginAs(me)
	if a := w.app.PostForm("/rooms/appointments/join", "to", "/times"); a.Location != "/rooms/appointments?to=%2Ftimes" {
		t.Fatalf("join: %d %s", a.Status, a.Location)
	}
	mine := w.joinAs(t, w.s, me.ID)
	page := w.app.Get("/rooms/appointments?to=/times")
	mustContain(t, page, http.StatusOK, "Ich habe einen Einlass-Code von der Hotline", CodeExample)
	inv := w.invite(t, loginRoom, me.ID)
	mustContain(t, w.app.Get("/rooms/appointments?code="+inv.Code), http.StatusOK, `value="`+inv.Code+`"`)

	// What is wrong is said at the field; the place stays.
	mustContain(t, w.app.PostForm("/rooms/appointments/join", "to", "/times", "code", "7K2M"), http.StatusUnprocessableEntity, "Schreibfehler", `value="7K2M"`, "wr-wait")
	mustContain(t, w.app.PostForm("/rooms/appointments/join", "to", "/times", "code", code.New(inviteLen)), http.StatusUnprocessableEntity, "gilt hier nicht")
	if again := w.joinAs(t, w.s, me.ID); again != mine {
		t.Errorf("a wrong code changed the place: %+v", again)
	}
	thief := w.app.Another()
	thief.LoginAs(person())
	mustContain(t, thief.PostForm("/rooms/appointments/join", "code", inv.Code), http.StatusUnprocessableEntity, "gilt hier nicht")
	if a := thief.Another().PostForm("/rooms/appointments/join", "code", inv.Code); !strings.HasPrefix(a.Location, "/login?to=") {
		t.Errorf("without login: %d %s", a.Status, a.Location)
	}

	// The code lets in; the place in the line is given up for it.
	w.edit(t, loginRoom, Settings{Bound: ptr(50), Rate: ptr(6000)})
	w.pass(t, time.Second)
	if a := w.app.PostForm("/rooms/appointments/join", "to", "/times", "code", inv.Code); a.Location != "/times" {
		t.Fatalf("with the code: %d %s", a.Status, a.Location)
	}
	mustContain(t, w.app.Get("/times"), http.StatusOK, "inside")
	if again, inside, err := w.s.joinAs(context.Background(), w.s.rooms.Load().views[loginRoom], me.ID); err != nil || !inside || again.Cohort != CohortInvited {
		t.Errorf("the person's place: %+v, inside %v, %v", again, inside, err)
	}
	seats := w.liveRows(t)
	other := w.app.Another()
	other.LoginAs(me)
	other.SetCookie("wr_t_appointments", w.s.keys.SignTicket(mine))
	if a := other.PostForm("/rooms/appointments/enter", "to", "/times"); a.Location != "/times" || w.liveRows(t) != seats {
		t.Errorf("with the ticket of the line beside it: %s, %d seats, before %d", a.Location, w.liveRows(t), seats)
	}
	// Who is inside keeps the code.
	spare := w.invite(t, loginRoom, me.ID)
	third := w.app.Another()
	third.LoginAs(me)
	if a := third.PostForm("/rooms/appointments/join", "to", "/times", "code", spare.Code); a.Location != "/times" {
		t.Errorf("inside, and a code: %d %s", a.Status, a.Location)
	}
	if n := w.count(t, `SELECT count(*) FROM waitingroom.invite WHERE used_at IS NULL AND valid_until > $1`, w.now()); n != 1 {
		t.Errorf("%d codes are left", n)
	}

	// As JSON.
	free := w.invite(t, room, "")
	var out TicketOut
	nobody := w.app.Another()
	if a := nobody.JSON(http.MethodPost, "/api/v1/rooms/registration/join", map[string]any{"code": "x"}, nil); a.Status != http.StatusUnprocessableEntity || !strings.Contains(a.Body, `"code"`) {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	if a := nobody.JSON(http.MethodPost, "/api/v1/rooms/registration/join", map[string]any{"code": free.Code}, &out); a.Status != http.StatusOK || out.Cohort != CohortInvited || !out.Turn {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	// Many codes from one network are too many.
	var last int
	for i := range 40 {
		b := w.app.Another()
		a := b.PostForm("/rooms/registration/join", "code", code.New(inviteLen))
		if last = a.Status; last == http.StatusTooManyRequests {
			if i < 20 {
				t.Errorf("the %dth attempt is refused", i)
			}
			break
		}
	}
	if last != http.StatusTooManyRequests {
		t.Errorf("40 attempts: %d", last)
	}
}

// Places and codes go when nobody can use them any more.
func TestRetentionOfPlacesAndCodes(t *testing.T) {
	t.Parallel()
	f := setup(t, 1)
	for i := range 3 {
		f.joinAs(t, f.replicas[0], id.New())
		f.invite(t, loginRoom, id.New())
		f.pass(t, time.Duration(i+1)*time.Hour)
	}
	rules := RetentionRules()
	run := func() (out string) {
		for _, r := range rules {
			if r.Table != "waitingroom.holder" && r.Table != "waitingroom.invite" {
				continue
			}
			err := pg.InTx(context.Background(), f.pool, func(tx pgx.Tx) error {
				n, err := r.Run(context.Background(), tx, f.now(), 0, 2)
				out += fmt.Sprint(n, " ")
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		return out
	}
	if got := run(); got != "0 0 " {
		t.Errorf("deleted of the fresh ones: %s", got)
	}
	f.shift.Add(int64(TicketLife + 49*time.Hour))
	if got := run(); got != "2 2 " {
		t.Errorf("in the first round: %s", got)
	}
	if got := run(); got != "1 1 " {
		t.Errorf("in the second round: %s", got)
	}
}
