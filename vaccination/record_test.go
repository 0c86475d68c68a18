package vaccination_test

import (
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/clock"
	"impfportal/internal/id"
	"impfportal/internal/vault"
	"impfportal/inventory"
	"impfportal/vaccination"
)

func TestRecordOfAnAppointment(t *testing.T) {
	b := setup(t)
	lot := b.receive(inventory.CentrePlace(leipzig), "comirnaty", "EX1", day(2021, 5, 31), 2)
	p := b.pair("Müller", leipzig, 21)
	before := b.doses(leipzig)

	recordID, err := b.s.Record(b.ctx, b.dose(p.appointments[0], lot))
	if err != nil {
		t.Fatal(err)
	}
	r, err := b.s.Get(b.ctx, b.pool, recordID)
	if err != nil {
		t.Fatal(err)
	}
	if r.Patient.FamilyName != "Müller" || r.Patient.Birth != p.person.Birth || r.Patient.Contact.Email != p.person.Email {
		t.Errorf("patient: %+v", r.Patient)
	}
	if r.DoseNumber != 1 || r.DosesTotal != 2 || r.ProductID != "comirnaty" || r.LotNumber != "EX1" || r.ProgrammeID != "covid-19" ||
		!r.Day.Equal(clock.Day(b.now)) || r.Place != leipzig || r.LoginPersonID != p.person.ID || r.AppointmentID != p.appointments[0] {
		t.Errorf("record: %+v", r)
	}
	if got := before - b.doses(leipzig); got != 1 {
		t.Errorf("the ledger gave %d doses, want 1", got)
	}
	if n := b.count(`SELECT count(*) FROM booking.appointment WHERE state = 'done'`); n != 1 {
		t.Errorf("%d appointments done, want 1", n)
	}
	b.consistent(1)

	// Nothing of the person stands in the clear.
	if n := b.count(`SELECT count(*) FROM vaccination.record r WHERE r::text ~* 'm(ü|ue)ller|example|1935'`); n != 0 {
		t.Error("personal data in the clear")
	}
}

func TestRegistrationMayGoBeforeTheRecord(t *testing.T) {
	b := setup(t)
	lot := b.receive(inventory.CentrePlace(leipzig), "comirnaty", "EX1", day(2021, 5, 31), 2)
	p := b.pair("Berger", leipzig, 21)
	recordID, err := b.s.Record(b.ctx, b.dose(p.appointments[0], lot))
	if err != nil {
		t.Fatal(err)
	}
	b.tx(func(tx pgx.Tx) error {
		for _, sql := range []string{`DELETE FROM booking.series`, `DELETE FROM citizen.login`, `DELETE FROM citizen.person`, `DELETE FROM vault.key WHERE id = '` + p.person.KeyID + `'`} {
			if _, err := tx.Exec(b.ctx, sql); err != nil {
				return err
			}
		}
		return nil
	})
	if r, err := b.s.Get(b.ctx, b.pool, recordID); err != nil || r.Patient.FamilyName != "Berger" {
		t.Errorf("record after the registration is gone: %+v, %v", r, err)
	}
}

func TestDoubleClickGivesOneRecord(t *testing.T) {
	b := setup(t)
	lot := b.receive(inventory.CentrePlace(leipzig), "comirnaty", "EX1", day(2021, 5, 31), 3)
	p := b.pair("Doppel", leipzig, 21)
	for name, in := range map[string]vaccination.RecordDose{
		"appointment": b.dose(p.appointments[0], lot),
		"walk-in":     b.walkIn("Klick", lot),
	} {
		ids := make([]string, 8)
		for _, err := range all(len(ids), func(i int) (err error) { ids[i], err = b.s.Record(b.ctx, in); return err }) {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		for _, got := range ids {
			if got != ids[0] || got == "" {
				t.Errorf("%s: different records %v", name, ids)
				break
			}
		}
	}
	b.consistent(2)
}

func TestKeyOfAnotherDoseIsRefused(t *testing.T) {
	b := setup(t)
	lot := b.receive(inventory.CentrePlace(leipzig), "comirnaty", "EX1", day(2021, 5, 31), 2)
	first, second := b.walkIn("Eins", lot), b.walkIn("Zwei", lot)
	second.Key = first.Key
	if _, err := b.s.Record(b.ctx, first); err != nil {
		t.Fatal(err)
	}
	if _, err := b.s.Record(b.ctx, second); !errors.Is(err, vaccination.ErrKeyReused) {
		t.Errorf("got %v, want ErrKeyReused", err)
	}
	b.consistent(1)
}

// Two stations record the same person at the same moment: one wins, the others
// are told that the dose was given.
func TestTwoStationsOnePerson(t *testing.T) {
	b := setup(t)
	lot := b.receive(inventory.CentrePlace(leipzig), "comirnaty", "EX1", day(2021, 5, 31), 3)
	p := b.pair("Station", leipzig, 21)
	asWalkIn := func() vaccination.RecordDose {
		in := b.walkIn("Station", lot)
		in.Patient.GivenName, in.Patient.Birth = "ERIKA", p.person.Birth
		return in
	}
	won := 0
	for i, err := range all(10, func(i int) error {
		in := b.dose(p.appointments[0], lot)
		if i%2 == 1 {
			in = asWalkIn()
		}
		_, err := b.s.Record(b.ctx, in)
		return err
	}) {
		var given *vaccination.AlreadyGivenError
		switch {
		case err == nil:
			won++
		case errors.As(err, &given) && given.RecordID != "":
		default:
			t.Errorf("station %d: %v", i, err)
		}
	}
	if won != 1 {
		t.Errorf("%d stations recorded the dose, want 1", won)
	}
	b.consistent(1)

	// A namesake is a decision with a reason.
	other := asWalkIn()
	other.Override = &vaccination.Override{Rules: []string{vaccination.Namesake}}
	if _, err := b.s.Record(b.ctx, other); !errors.Is(err, vaccination.ErrAlreadyGiven) {
		t.Errorf("without a reason: %v", err)
	}
	other.Override.Reason = "Ausweise verglichen, zwei Personen"
	if _, err := b.s.Record(b.ctx, other); err != nil {
		t.Errorf("with a reason: %v", err)
	}
	b.consistent(2)
}

func TestLots(t *testing.T) {
	b := setup(t)
	here := inventory.CentrePlace(leipzig)
	good := b.receive(here, "comirnaty", "GOOD", day(2021, 5, 31), 1)
	b.now = b.now.AddDate(0, 0, -1)
	expired := b.receive(here, "comirnaty", "OLD", day(2021, 1, 17), 1)
	b.now = b.now.AddDate(0, 0, 1)
	lastDay := b.receive(here, "comirnaty", "LAST", day(2021, 1, 18), 1)
	elsewhere := b.receive(inventory.CentrePlace(dresden), "comirnaty", "ELSEWHERE", day(2021, 5, 31), 1)
	moderna := b.receive(here, "spikevax", "MX", day(2021, 5, 31), 1)
	p := b.pair("Charge", leipzig, 21)
	for _, tt := range []struct {
		name string
		lot  string
		want error
	}{
		{"expired", expired, vaccination.ErrLotExpired},
		{"of another centre", elsewhere, vaccination.ErrLotEmpty},
		{"of another vaccine", moderna, vaccination.ErrWrongLot},
		{"unknown", id.New(), vaccination.ErrWrongLot},
		{"no uuid", "x", vaccination.ErrInvalid},
	} {
		if _, err := b.s.Record(b.ctx, b.dose(p.appointments[0], tt.lot)); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
	b.consistent(0)
	if _, err := b.s.Record(b.ctx, b.dose(p.appointments[0], lastDay)); err != nil {
		t.Errorf("on the last day: %v", err)
	}
	// The vial gives five doses; the sixth is not there.
	for i := range 5 {
		if _, err := b.s.Record(b.ctx, b.walkIn("Leer "+string(rune('A'+i)), good)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.s.Record(b.ctx, b.walkIn("Leer Z", good)); !errors.Is(err, vaccination.ErrLotEmpty) {
		t.Errorf("empty lot: %v", err)
	}
	b.consistent(6)
}

func TestConcurrentDosesNeverOverdrawALot(t *testing.T) {
	b := setup(t)
	lot := b.receive(inventory.CentrePlace(leipzig), "comirnaty", "EX1", day(2021, 5, 31), 2) // 10 doses
	won := 0
	for i, err := range all(30, func(i int) error {
		_, err := b.s.Record(b.ctx, b.walkIn("Person "+string(rune('A'+i%26))+string(rune('a'+i/26)), lot))
		return err
	}) {
		switch {
		case err == nil:
			won++
		case !errors.Is(err, vaccination.ErrLotEmpty):
			t.Errorf("person %d: %v", i, err)
		}
	}
	if won != 10 || b.doses(leipzig) != 0 {
		t.Errorf("%d doses recorded and %d left, want 10 and 0", won, b.doses(leipzig))
	}
	b.consistent(10)
}

func TestAppointmentMustBeHereAndToday(t *testing.T) {
	b := setup(t)
	lot := b.receive(inventory.CentrePlace(leipzig), "comirnaty", "EX1", day(2021, 5, 31), 2)
	other := b.pair("Dresdner", dresden, 21)
	p := b.pair("Leipziger", leipzig, 21)
	cancelled := b.pair("Abgesagt", leipzig, 21)
	b.tx(func(tx pgx.Tx) error {
		_, err := tx.Exec(b.ctx, `UPDATE booking.appointment SET state = 'cancelled' WHERE id = $1`, cancelled.appointments[0])
		return err
	})
	for _, tt := range []struct {
		name, appointment string
		want              error
	}{
		{"at another centre", other.appointments[0], vaccination.ErrNotFound},
		{"on another day", p.appointments[1], vaccination.ErrNotFound},
		{"cancelled", cancelled.appointments[0], vaccination.ErrAppointment},
		{"unknown", id.New(), vaccination.ErrNotFound},
	} {
		if _, err := b.s.Record(b.ctx, b.dose(tt.appointment, lot)); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
	b.consistent(0)
}

func TestInterval(t *testing.T) {
	for _, tt := range []struct {
		days int
		want string // code of the warning
	}{
		{20, vaccination.IntervalShort}, {21, ""}, {42, ""}, {43, vaccination.IntervalLong},
	} {
		t.Run(strconv.Itoa(tt.days), func(t *testing.T) { checkOneInterval(t, tt.days, tt.want) })
	}
}

func checkOneInterval(t *testing.T, days int, want string) {
	b := setup(t)
	lot := b.receive(inventory.CentrePlace(leipzig), "comirnaty", "EX1", day(2021, 5, 31), 2)
	p := b.pair("Abstand", leipzig, days)
	if _, err := b.s.Record(b.ctx, b.dose(p.appointments[0], lot)); err != nil {
		t.Fatal(err)
	}
	b.now = b.now.AddDate(0, 0, days)
	in := b.dose(p.appointments[1], lot)
	_, err := b.s.Record(b.ctx, in)
	if want == "" {
		if err != nil {
			t.Errorf("%d days: %v", days, err)
		}
		return
	}
	var w *vaccination.WarningsError
	if !errors.As(err, &w) || len(w.Warnings) != 1 || w.Warnings[0].Code != want || w.Warnings[0].Days != days {
		t.Errorf("%d days: %v", days, err)
	}
	in.Override = &vaccination.Override{Rules: []string{vaccination.Age}, Reason: "ärztlich entschieden"}
	if _, err := b.s.Record(b.ctx, in); !errors.As(err, &w) {
		t.Errorf("%d days, another rule overridden: %v", days, err)
	}
	in.Override.Rules = []string{want}
	if _, err := b.s.Record(b.ctx, in); err != nil {
		t.Errorf("%d days, overridden: %v", days, err)
	}
	if n := b.count(`SELECT count(*) FROM vaccination.record WHERE $1 = ANY (overrides)`, want); n != 1 {
		t.Errorf("%d days: override is not in the record", days)
	}
	if n := b.count(`SELECT count(*) FROM vaccination.record r WHERE r::text LIKE '%entschieden%'`); n != 0 {
		t.Error("the reason stands in the clear")
	}
	b.consistent(2)
}

func TestSecondDoseOfAWalkIn(t *testing.T) {
	b := setup(t)
	here := inventory.CentrePlace(leipzig)
	lot := b.receive(here, "comirnaty", "EX1", day(2021, 5, 31), 2)
	moderna := b.receive(here, "spikevax", "MX", day(2021, 5, 31), 1)
	second := func(family, lotID, product string, prior *vaccination.PriorDose) error {
		in := b.walkIn(family, lotID)
		in.ProductID, in.DoseNumber, in.Prior = product, 2, prior
		_, err := b.s.Record(b.ctx, in)
		return err
	}
	var w *vaccination.WarningsError
	if err := second("Fremd", lot, "comirnaty", nil); !errors.As(err, &w) || w.Warnings[0].Code != vaccination.NoPrior {
		t.Errorf("nothing known: %v", err)
	}
	prior := &vaccination.PriorDose{ProductID: "comirnaty", Day: clock.Day(b.now).AddDate(0, 0, -22)}
	if err := second("Fremd", moderna, "spikevax", prior); !errors.Is(err, vaccination.ErrWrongProduct) {
		t.Errorf("another vaccine: %v", err)
	}
	if err := second("Fremd", lot, "comirnaty", prior); err != nil {
		t.Errorf("as stated: %v", err)
	}
	// The first dose stands in the record: nothing has to be stated.
	if _, err := b.s.Record(b.ctx, b.walkIn("Mueller", lot)); err != nil {
		t.Fatal(err)
	}
	b.now = b.now.AddDate(0, 0, 21)
	if err := second("MÜLLER", lot, "comirnaty", nil); err != nil {
		t.Errorf("found under another spelling: %v", err)
	}
	b.consistent(3)
}

func TestWhatIsRefused(t *testing.T) {
	b := setup(t)
	lot := b.receive(inventory.CentrePlace(leipzig), "comirnaty", "EX1", day(2021, 5, 31), 2)
	for name, tt := range map[string]struct {
		change func(in *vaccination.RecordDose)
		want   error
	}{
		"no consent":         {func(in *vaccination.RecordDose) { in.Consent = false }, vaccination.ErrNoConsent},
		"unknown forms":      {func(in *vaccination.RecordDose) { in.Forms = day(2021, 1, 12) }, vaccination.ErrForms},
		"no key":             {func(in *vaccination.RecordDose) { in.Key = "" }, vaccination.ErrInvalid},
		"emoji in the name":  {func(in *vaccination.RecordDose) { in.Patient.FamilyName = "Karl 😀" }, vaccination.ErrInvalid},
		"markup in the name": {func(in *vaccination.RecordDose) { in.Patient.FamilyName = "<b>Karl</b>" }, vaccination.ErrInvalid},
		"30 February": {func(in *vaccination.RecordDose) {
			in.Patient.Birth = vaccination.PartialDate{Year: 1938, Month: 2, Day: 30}
		}, vaccination.ErrInvalid},
		"born tomorrow": {func(in *vaccination.RecordDose) {
			in.Patient.Birth = vaccination.PartialDate{Year: 2021, Month: 1, Day: 19}
		}, vaccination.ErrInvalid},
		"a day, no month": {func(in *vaccination.RecordDose) { in.Patient.Birth = vaccination.PartialDate{Year: 1938, Day: 3} }, vaccination.ErrInvalid},
		"prior dose to come": {func(in *vaccination.RecordDose) {
			in.DoseNumber, in.Prior = 2, &vaccination.PriorDose{ProductID: "comirnaty", Day: day(2021, 2, 1)}
		}, vaccination.ErrInvalid},
		"unknown product": {func(in *vaccination.RecordDose) { in.ProductID = "nothing" }, vaccination.ErrWrongProduct},
	} {
		in := b.walkIn("Falsch", lot)
		tt.change(&in)
		if _, err := b.s.Record(b.ctx, in); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
	child := b.walkIn("Kind", lot)
	child.Patient.Birth = vaccination.PartialDate{Year: 2010}
	var w *vaccination.WarningsError
	if _, err := b.s.Record(b.ctx, child); !errors.As(err, &w) || w.Warnings[0].Code != vaccination.Age {
		t.Errorf("a child: %v", err)
	}
	b.consistent(0)
}

func TestOldRecordsGoWithTheirKeys(t *testing.T) {
	b := setup(t)
	lot := b.receive(inventory.CentrePlace(leipzig), "comirnaty", "EX1", day(2021, 5, 31), 2)
	recordID, err := b.s.Record(b.ctx, b.walkIn("Alt", lot))
	if err != nil {
		t.Fatal(err)
	}
	run := func(now time.Time) (n int64) {
		b.tx(func(tx pgx.Tx) (err error) {
			n, err = b.s.RetentionRules()[0].Run(b.ctx, tx, now, 3653*24*time.Hour, 100)
			return err
		})
		return n
	}
	if n := run(b.now.AddDate(9, 11, 0)); n != 0 {
		t.Fatalf("%d records deleted before their time", n)
	}
	if n := run(b.now.AddDate(10, 0, 3)); n != 1 {
		t.Fatalf("%d records deleted, want 1", n)
	}
	if _, err := b.s.Get(b.ctx, b.pool, recordID); !errors.Is(err, vaccination.ErrNotFound) {
		t.Errorf("after the purge: %v", err)
	}
	if n := b.count(`SELECT count(*) FROM vault.key`); n != 0 {
		t.Errorf("%d keys are left", n)
	}
}

func TestDestroyedKey(t *testing.T) {
	b := setup(t)
	lot := b.receive(inventory.CentrePlace(leipzig), "comirnaty", "EX1", day(2021, 5, 31), 2)
	recordID, err := b.s.Record(b.ctx, b.walkIn("Weg", lot))
	if err != nil {
		t.Fatal(err)
	}
	b.tx(func(tx pgx.Tx) error { _, err := tx.Exec(b.ctx, `DELETE FROM vault.key`); return err })
	if _, err := b.s.Get(b.ctx, b.pool, recordID); !errors.Is(err, vault.ErrDestroyed) {
		t.Errorf("got %v, want ErrDestroyed", err)
	}
}
