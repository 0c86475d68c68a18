package hotline_test

import (
	"errors"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"impfportal/booking"
	"impfportal/citizen"
	"impfportal/hotline"
	"impfportal/internal/clock"
	"impfportal/internal/id"
	"impfportal/internal/jobs"
	"impfportal/internal/web"
)

// The whole call: a caller who is not known is registered, gets both
// appointments, and the letter has them, the login data and the address.
func TestCall(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.stock("leipzig", 200, 50)

	a := b.app.PostForm("/hotline/search", "family_name", "Grossmann-Lucina", "birth_day", "1", "birth_month", "2", "birth_year", "1935")
	if a.Status != 200 || !strings.Contains(a.Body, "Niemand gefunden") {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	personID, body := b.register()
	codes := codePattern.FindAllStringSubmatch(body, -1)
	if len(codes) != 2 {
		t.Fatalf("login data is not shown: %s", body)
	}
	caseNumber, secret := codes[0][1], codes[1][1]

	page := b.app.Get("/hotline/persons/" + personID + "/book?centre=leipzig")
	offer := regexp.MustCompile(`name="offer" value="([0-9]+,[0-9]+)"`).FindStringSubmatch(page.Body)
	key := regexp.MustCompile(`name="key" value="([^"]+)"`).FindStringSubmatch(page.Body)
	if offer == nil || key == nil {
		t.Fatalf("no offers: %s", page.Body)
	}
	for range 2 { // a double click books once
		if a := b.app.PostForm("/hotline/persons/"+personID+"/book", "offer", offer[1], "key", key[1], "centre", "leipzig"); a.Status != http.StatusSeeOther {
			t.Fatalf("%d %s", a.Status, a.Body)
		}
	}
	others := regexp.MustCompile(`name="offer" value="([0-9]+,[0-9]+)"`).FindAllStringSubmatch(page.Body, -1)
	if a := b.app.PostForm("/hotline/persons/"+personID+"/book", "offer", others[1][1], "key", key[1], "centre", "leipzig"); a.Status != http.StatusConflict {
		t.Errorf("other appointments on the page that has booked: %d", a.Status)
	}
	series, err := b.booking.SeriesOf(b.ctx, b.pool, personID)
	b.ok(err)
	if series == nil || series.State != booking.StateConfirmed || len(series.Appointments) != 2 || series.Channel != booking.Hotline || series.BookedBy != b.by.Actor {
		t.Fatalf("%+v", series)
	}
	if first := clock.Day(series.Appointments[0].Start); first.Before(clock.Day(monday).AddDate(0, 0, 5)) {
		t.Errorf("the first appointment is on %s, the letter would come too late", first)
	}
	page = b.app.Get("/hotline/persons/" + personID)
	for _, want := range []string{"Gebucht und bestätigt", booking.PrintReference(series.Reference), "an den Druck gegeben", "panel--yours"} {
		if !strings.Contains(page.Body, want) {
			t.Errorf("the case lacks %q", want)
		}
	}
	if strings.Contains(page.Body, secret) {
		t.Error("the secret is shown again")
	}

	b.work() // booking's and citizen's messages: nothing may go by post a second time
	letters := b.printed()
	if len(letters) != 1 {
		t.Fatalf("%d letters", len(letters))
	}
	for _, want := range []string{
		"Jiří Großmann-Łučina", "02625 Bautzen", caseNumber, secret, booking.PrintReference(series.Reference),
		web.FormatDateTime("de", series.Appointments[0].Start), web.FormatDateTime("de", series.Appointments[1].Start), "0800 0899 089",
	} {
		if !strings.Contains(strings.Join(strings.Fields(letters[0]), " "), want) {
			t.Errorf("the letter lacks %q:\n%s", want, letters[0])
		}
	}
	if n := b.count(`SELECT count(*) FROM hotline.login_data`); n != 0 {
		t.Errorf("the secret is still kept")
	}
	p, err := b.citizens.Login(b.ctx, caseNumber, secret)
	if err != nil || p.ID != personID {
		t.Errorf("the login data does not work: %v", err)
	}
	if n := b.count(`SELECT count(*) FROM audit.entry WHERE action = 'hotline.case.open' AND subject = $1 AND actor = $2`, "person:"+personID, b.by.Actor); n == 0 {
		t.Error("opening the case is not in the audit record")
	}
	if n := b.count(`SELECT count(*) FROM audit.entry WHERE after::text ILIKE '%grossmann%' OR after::text ILIKE '%1935%'`); n != 0 {
		t.Error("the audit record has personal data")
	}

	// The caller calls again, by case number, and cancels.
	a = b.app.PostForm("/hotline/search", "case_number", caseNumber)
	if !strings.Contains(a.Body, personID) {
		t.Fatal("not found by case number")
	}
	if a := b.app.PostForm("/hotline/persons/"+personID+"/cancel", "series", series.ID); a.Status != http.StatusUnprocessableEntity {
		t.Errorf("cancelled without being asked: %d", a.Status)
	}
	if a := b.app.PostForm("/hotline/persons/"+personID+"/cancel", "series", series.ID, "sure", "1"); a.Status != http.StatusSeeOther {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	if s, _ := b.booking.SeriesOf(b.ctx, b.pool, personID); s != nil {
		t.Errorf("%+v", s)
	}
}

func TestRegisterSentTwice(t *testing.T) {
	t.Parallel()
	b := setup(t)
	form := caller()
	first := b.app.PostForm("/hotline/register", form...)
	if first.Status != 200 {
		t.Fatal(first.Status, first.Body)
	}
	again := b.app.PostForm("/hotline/register", form...)
	if again.Status != http.StatusSeeOther || !strings.Contains(first.Body, strings.TrimPrefix(again.Location, "/hotline/persons/")) {
		t.Errorf("%d %s", again.Status, again.Location)
	}
	if n := b.count(`SELECT count(*) FROM citizen.person`); n != 1 {
		t.Errorf("%d people", n)
	}
}

func TestBadInputKeepsWhatWasTyped(t *testing.T) {
	t.Parallel()
	b := setup(t)
	key := id.New()
	a := b.app.PostForm("/hotline/register", caller("key", key, "birth_day", "31", "given_name", "<b>Eva</b> 😀", "postcode", "1")...)
	if a.Status != http.StatusUnprocessableEntity || !strings.Contains(a.Body, "Straße des 17. Juni 135") || strings.Contains(a.Body, "<b>Eva") {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	if a := b.app.PostForm("/hotline/register", caller("key", key)...); a.Status != 200 {
		t.Errorf("mended, the same form is refused: %d", a.Status)
	}
	for _, kv := range [][]string{{}, {"case_number", "XXXX"}, {"family_name", "Müller"}, {"family_name", "Müller", "birth_day", "31", "birth_month", "2", "birth_year", "1950"}} {
		if a := b.app.PostForm("/hotline/search", kv...); a.Status != http.StatusUnprocessableEntity {
			t.Errorf("%v: %d", kv, a.Status)
		}
	}
	for _, path := range []string{"/hotline/persons/nonsense", "/hotline/persons/" + id.New(), "/hotline/persons/" + id.New() + "/book", "/hotline/letters/x/letters.zip"} {
		if a := b.app.Get(path); a.Status != http.StatusNotFound {
			t.Errorf("%s: %d", path, a.Status)
		}
	}
}

// Somebody for whom nothing is booked gets the login data alone, half an hour later.
func TestLoginLetterWithoutBooking(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, body := b.register()
	secret := codePattern.FindAllStringSubmatch(body, -1)[1][1]
	sweep := func() {
		for _, p := range b.Jobs(jobs.NewMux()) {
			b.ok(p.Run(b.ctx, b.now()))
		}
	}
	sweep()
	if n := b.count(`SELECT count(*) FROM notify.message WHERE channel = 'letter'`); n != 0 {
		t.Fatalf("%d letters during the call", n)
	}
	b.wait(31 * time.Minute)
	sweep()
	sweep()
	letters := b.printed()
	if len(letters) != 1 || !strings.Contains(letters[0], secret) {
		t.Errorf("%d letters: %v", len(letters), letters)
	}
}

// A booking whose request is killed after the confirmation still gets its letter.
func TestKilledAfterConfirm(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.stock("leipzig", 100, 50)
	personID, _ := b.register()
	held, err := b.booking.Hold(b.ctx, booking.HoldRequest{PersonID: personID, Channel: booking.Hotline, SlotIDs: b.slots(personID), Key: "k", Actor: b.by.Actor, Role: "agent"})
	b.ok(err)
	_, err = b.pool.Exec(b.ctx, `INSERT INTO hotline.letter (id, person_id, series_id, kind, state, actor, created_at) VALUES ($1, $2, $3, 'papers', 'wanted', $4, $5)`,
		id.New(), personID, held.ID, b.by.Actor, b.now())
	b.ok(err)
	_, err = b.booking.Confirm(b.ctx, held.ID, personID, "k")
	b.ok(err)
	b.wait(2 * time.Minute)
	for range 2 {
		b.ok(b.Jobs(jobs.NewMux())[0].Run(b.ctx, b.now()))
	}
	if letters := b.printed(); len(letters) != 1 {
		t.Errorf("%d letters", len(letters))
	}
}

// A hold that was never confirmed gets none.
func TestNoLetterForAnExpiredHold(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.stock("leipzig", 100, 50)
	personID, _ := b.register()
	held, err := b.booking.Hold(b.ctx, booking.HoldRequest{PersonID: personID, Channel: booking.Hotline, SlotIDs: b.slots(personID), Key: "k", Actor: b.by.Actor, Role: "agent"})
	b.ok(err)
	_, err = b.pool.Exec(b.ctx, `INSERT INTO hotline.letter (id, person_id, series_id, kind, state, actor, created_at) VALUES ($1, $2, $3, 'papers', 'wanted', $4, $5)`,
		id.New(), personID, held.ID, b.by.Actor, b.now())
	b.ok(err)
	b.wait(20 * time.Minute)
	b.ok(b.Jobs(jobs.NewMux())[0].Run(b.ctx, b.now()))
	if n := b.count(`SELECT count(*) FROM hotline.letter WHERE state = 'dropped'`); n != 1 {
		t.Error("the wish was not dropped")
	}
	if n := b.count(`SELECT count(*) FROM hotline.login_data`); n != 1 {
		t.Error("the login data must wait for its own letter")
	}
}

// Whose quota it is: the hotline books from its own share until it is empty,
// and never more; many agents at once.
func TestQuotaIsNotExceeded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.stock("leipzig", 4, 30)
	quota := 0
	days, err := booking.ChannelDays(b.ctx, b.pool, booking.Hotline, b.now(), b.now().AddDate(0, 0, 90))
	b.ok(err)
	for _, d := range days {
		quota += d.Places
	}
	if quota == 0 {
		t.Fatal("the hotline has no places")
	}
	var people []string
	for i := range quota + 3 {
		p, _ := b.register("family_name", "Muster"+string(rune('a'+i%26))+string(rune('a'+i/26)))
		people = append(people, p)
	}
	var mu sync.Mutex
	booked, gone := 0, 0
	var g errgroup.Group
	g.SetLimit(4)
	for _, p := range people {
		g.Go(func() error {
			person, err := b.citizens.Person(b.ctx, b.pool, p)
			if err != nil {
				return err
			}
			for range 20 {
				days, err := b.booking.Offers(b.ctx, b.pool, booking.OfferQuery{Person: person, CentreID: "leipzig", Channel: booking.Hotline, From: b.now(), To: b.now().AddDate(0, 0, 60)})
				if err != nil {
					return err
				}
				var slots []int64
				for _, d := range days {
					for _, t := range d.First {
						if c, ok := d.Choice(t.SlotID); ok && slots == nil {
							slots = c.SlotIDs()
						}
					}
				}
				if slots == nil {
					mu.Lock()
					gone++
					mu.Unlock()
					return nil
				}
				_, err = b.Book(b.ctx, p, slots, "", id.New(), b.by)
				if errors.Is(err, booking.ErrSlotTaken) {
					continue
				}
				if err == nil {
					mu.Lock()
					booked++
					mu.Unlock()
				}
				return err
			}
			return errors.New("no place in twenty tries")
		})
	}
	b.ok(g.Wait())
	if booked != quota || gone != 3 {
		t.Errorf("booked %d of %d, %d were told that nothing is free", booked, quota, gone)
	}
	if n := b.count(`SELECT count(*) FROM notify.message WHERE channel = 'letter' AND kind = 'hotline.papers'`); n != booked {
		t.Errorf("%d letters for %d bookings", n, booked)
	}
}

func TestLostLoginData(t *testing.T) {
	t.Parallel()
	b := setup(t)
	personID, _ := b.register()
	if a := b.app.PostForm("/hotline/persons/"+personID+"/login-data", "way", "contact"); a.Status != http.StatusConflict {
		t.Errorf("there is no contact: %d", a.Status)
	}
	if a := b.app.PostForm("/hotline/persons/"+personID+"/login-data", "way", "post"); a.Status != http.StatusSeeOther || strings.Contains(a.Body, "secret") {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	if a := b.app.PostForm("/hotline/persons/"+personID+"/login-data", "way", "post"); a.Status != http.StatusConflict {
		t.Errorf("a second letter the same day: %d", a.Status)
	}
	letters := b.printed()
	if len(letters) != 1 {
		t.Fatalf("%d letters", len(letters))
	}
	known, _ := b.register("family_name", "Andere", "email", "a@example.org")
	if a := b.app.PostForm("/hotline/persons/"+known+"/login-data", "way", "contact"); a.Status != http.StatusSeeOther {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	b.work()
	if n := b.count(`SELECT count(*) FROM notify.message WHERE kind = 'citizen.new_login' AND channel = 'email'`); n == 0 {
		t.Error("nothing was sent to the known contact")
	}
}

func TestDuplicate(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first, _ := b.register()
	second, body := b.register("given_name", "Jiri", "family_name", "Grossmann-Lucina")
	if first == second || !strings.Contains(body, "vielleicht schon registriert") {
		t.Fatalf("the agent is not told: %s", body)
	}
	page := b.app.Get("/hotline/checks")
	if !strings.Contains(page.Body, second) || !strings.Contains(page.Body, first) {
		t.Fatalf("not in the list: %s", page.Body)
	}
	if a := b.app.Get("/hotline/persons/" + second + "/book"); a.Status != http.StatusConflict {
		t.Errorf("could be booked: %d", a.Status)
	}
	if a := b.app.PostForm("/hotline/checks/"+second, "finding", "other"); a.Status != http.StatusSeeOther {
		t.Fatal(a.Status, a.Body)
	}
	if p, err := b.citizens.Person(b.ctx, b.pool, second); err != nil || p.State != citizen.StateActive {
		t.Errorf("%v %v", p.State, err)
	}
	third, _ := b.register()
	if a := b.app.PostForm("/hotline/checks/"+third, "finding", "same"); a.Status != http.StatusSeeOther {
		t.Fatal(a.Status, a.Body)
	}
	if _, err := b.citizens.Person(b.ctx, b.pool, third); !errors.Is(err, citizen.ErrNotFound) {
		t.Errorf("still there: %v", err)
	}
	b.wait(time.Hour)
	b.ok(b.Jobs(jobs.NewMux())[0].Run(b.ctx, b.now()))
	if n := b.count(`SELECT count(*) FROM hotline.login_data WHERE person_id = $1`, third); n != 0 {
		t.Error("login data of a deleted person is kept")
	}
}

func TestNotesAreSealed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	personID, _ := b.register()
	if a := b.app.PostForm("/hotline/persons/"+personID+"/notes", "disposition", "callback", "text", "Ruft am Dienstag <zurück>"); a.Status != http.StatusSeeOther {
		t.Fatal(a.Status, a.Body)
	}
	if page := b.app.Get("/hotline/persons/" + personID); !strings.Contains(page.Body, "Ruft am Dienstag &lt;zurück&gt;") {
		t.Errorf("%s", page.Body)
	}
	if n := b.count(`SELECT count(*) FROM hotline.note WHERE position('Dienstag'::bytea IN sealed) > 0`); n != 0 {
		t.Error("the note is readable in the database")
	}
	if a := b.app.PostForm("/hotline/persons/"+personID+"/notes", "disposition", "other", "text", strings.Repeat("x", 1001)); a.Status != http.StatusUnprocessableEntity {
		t.Errorf("%d", a.Status)
	}
}

func TestAPI(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.stock("leipzig", 100, 50)
	var reg struct {
		PersonID   string `json:"person_id"`
		CaseNumber string `json:"case_number"`
		Secret     string `json:"secret"`
	}
	in := map[string]any{"key": id.New(), "registration": map[string]any{
		"programme": "covid-19", "group": "s2-age", "proof_ready": true, "family_name": "Muster", "given_name": "Erika",
		"birth": "1935-02-01", "sex": "female", "address": map[string]any{"street": "Weg 1", "postcode": "04109", "city": "Leipzig"},
	}}
	if a := b.app.JSON("POST", "/api/v1/hotline/persons", in, &reg); a.Status != 201 || reg.Secret == "" {
		t.Fatal(a.Status, a.Body)
	}
	var found struct {
		Persons []struct {
			ID string `json:"id"`
		} `json:"persons"`
	}
	if a := b.app.JSON("POST", "/api/v1/hotline/search", map[string]any{"family_name": "Muster", "postcode": "04109"}, &found); a.Status != 200 || len(found.Persons) != 1 || found.Persons[0].ID != reg.PersonID {
		t.Fatal(a.Status, a.Body)
	}
	path := "/api/v1/hotline/persons/" + reg.PersonID
	if a := b.app.JSON("GET", path+"/offers?centre=leipzig", nil, nil); a.Status != 200 || !strings.Contains(a.Body, "slot_id") {
		t.Fatal(a.Status, a.Body)
	}
	var series struct {
		ID           string `json:"id"`
		State        string `json:"state"`
		Appointments []any  `json:"appointments"`
	}
	if a := b.app.JSON("POST", path+"/series", map[string]any{"slot_ids": b.slots(reg.PersonID), "key": id.New()}, &series); a.Status != 201 || series.State != "confirmed" || len(series.Appointments) != 2 {
		t.Fatal(a.Status, a.Body)
	}
	if a := b.app.JSON("POST", path+"/series", map[string]any{"slot_ids": []int64{1}, "key": id.New()}, nil); a.Status != http.StatusConflict {
		t.Error(a.Status, a.Body)
	}
	for _, x := range []struct {
		method, path string
		in           any
		status       int
	}{
		{"GET", path, nil, 200},
		{"POST", path + "/letters", nil, 204},
		{"POST", path + "/notes", map[string]any{"disposition": "booked", "text": "ok"}, 204},
		{"POST", path + "/login-data", map[string]any{"way": "post"}, 204},
		{"GET", "/api/v1/hotline/quota", nil, 200},
		{"GET", "/api/v1/hotline/checks", nil, 200},
		{"GET", "/api/v1/hotline/letters", nil, 200},
		{"POST", "/api/v1/hotline/letters/batches", nil, 201},
		{"POST", "/api/v1/hotline/letters/batches", nil, 409},
		{"POST", "/api/v1/hotline/checks/" + reg.PersonID, map[string]any{"finding": "same"}, 404},
		{"DELETE", path + "/series/" + series.ID, nil, 204},
		{"GET", "/api/v1/hotline/persons/" + id.New(), nil, 404},
		{"POST", "/api/v1/hotline/search", map[string]any{"case_number": "nonsense"}, 422},
	} {
		if a := b.app.JSON(x.method, x.path, x.in, nil); a.Status != x.status {
			t.Errorf("%s %s: %d, want %d: %s", x.method, x.path, a.Status, x.status, a.Body)
		}
	}
}

func TestRetention(t *testing.T) {
	t.Parallel()
	b := setup(t)
	personID, _ := b.register()
	b.ok(b.AddNote(b.ctx, personID, "other", "x", b.by))
	b.ok(b.NewLoginByPost(b.ctx, personID, b.by))
	later := monday.AddDate(0, 0, 40)
	for _, r := range hotline.RetentionRules() {
		b.tx(func(tx pgx.Tx) error {
			n, err := r.Run(b.ctx, tx, later, 30*24*time.Hour, 100)
			if err == nil && n != 1 {
				t.Errorf("%s deleted %d rows", r.Name, n)
			}
			return err
		})
	}
}

// Whoever has e-mail and telephone as well gets all three, in their language,
// and nothing with the secret but the letter.
func TestLetterMailAndSMS(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.stock("leipzig", 100, 50)
	personID, body := b.register("lang", "en", "email", "a@example.org", "phone", "0151 23456789")
	secret := codePattern.FindAllStringSubmatch(body, -1)[1][1]
	if _, err := b.Book(b.ctx, personID, b.slots(personID), "", id.New(), b.by); err != nil {
		t.Fatal(err)
	}
	b.work()
	for channel, want := range map[string]int{"email": 1, "sms": 1} {
		if n := b.count(`SELECT count(*) FROM notify.message WHERE kind = 'booking.confirmed' AND channel = $1 AND state = 'sent'`, channel); n != want {
			t.Errorf("%d by %s", n, channel)
		}
	}
	letters := b.printed()
	if len(letters) != 1 || !strings.Contains(letters[0], "Your vaccination appointments") || !strings.Contains(letters[0], secret) || !strings.Contains(letters[0], "Page 2 of 2") {
		t.Errorf("%d letters: %s", len(letters), strings.Join(letters, "\n"))
	}
	if strings.Contains(b.app.Get("/dev/mailbox.json").Body, secret) {
		t.Error("the secret stands in an e-mail or SMS")
	}
	if a := b.app.Get("/hotline/persons/" + personID + "/letter.pdf"); a.Status != 200 || !strings.HasPrefix(a.Body, "%PDF") || strings.Contains(b.text([]byte(a.Body), "preview"), secret) {
		t.Error("preview")
	}
}

// A process that dies between storing the person and closing the form: the same
// form, sent again, finds the person and the same login data.
func TestRegisterAfterACrash(t *testing.T) {
	t.Parallel()
	b := setup(t)
	key := id.New()
	personID, body := b.register("key", key)
	shown := codePattern.FindAllString(body, -1)
	for range 2 {
		if _, err := b.pool.Exec(b.ctx, `DELETE FROM hotline.login_data`); err != nil {
			t.Fatal(err)
		}
		if _, err := b.pool.Exec(b.ctx, `UPDATE hotline.form SET person_id = NULL`); err != nil {
			t.Fatal(err)
		}
		if a := b.app.PostForm("/hotline/register", caller("key", key)...); a.Status != http.StatusConflict {
			t.Fatalf("still under way: %d", a.Status)
		}
		b.wait(2 * time.Minute)
		again, body := b.register("key", key)
		if codes := codePattern.FindAllString(body, -1); again != personID || strings.Join(codes, " ") != strings.Join(shown, " ") {
			t.Errorf("%s %v, first %s %v", again, codes, personID, shown)
		}
	}
	if n := b.count(`SELECT count(*) FROM citizen.person`); n != 1 {
		t.Errorf("%d registrations", n)
	}
	// The same key of another agent is another form.
	other := b.app.Another()
	other.LoginAs(web.User{Kind: "staff", ID: id.New(), Name: "Agent", Roles: []web.Role{web.RoleAgent}})
	if a := other.PostForm("/hotline/register", caller("key", key)...); a.Status == http.StatusOK || strings.Contains(a.Body, shown[1]) {
		t.Errorf("another agent got %d", a.Status)
	}
}
