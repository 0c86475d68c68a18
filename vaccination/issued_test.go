package vaccination_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/citizen"
	"impfportal/internal/id"
	"impfportal/internal/pg"
	"impfportal/internal/web"
	"impfportal/inventory"
	"impfportal/vaccination"
)

const pharmacy = "issuer:0190d1e0-0000-7000-8000-000000000001"

func (b *bundle) issued(family string) vaccination.IssuedDose {
	return vaccination.IssuedDose{
		Key: id.New(), Now: b.now, IssuerRef: pharmacy, IssuerKind: vaccination.IssuerPharmacy, Operator: "op-1", Path: vaccination.PathWeb,
		Region: vaccination.Region("04109"), Basis: vaccination.Given, Patient: patient(family), ProductID: "comirnaty", LotNumber: "EX1",
		DoseNumber: 1, DosesTotal: 2, Day: day(2021, 1, 18), Actor: "staff:op-1", Role: "issuer",
	}
}

func (b *bundle) seen(family string) vaccination.IssuedDose {
	in := b.issued(family)
	in.Basis, in.Document = vaccination.Seen, &vaccination.Document{Kind: vaccination.Booklet, Place: "Praxis Dr. Grün", Date: "18.1.21", Lot: "EX 1"}
	return in
}

func (b *bundle) recordIssued(in vaccination.IssuedDose) (recordID string, err error) {
	err = pg.InTx(b.ctx, b.pool, func(tx pgx.Tx) error {
		recordID, err = b.s.RecordIssued(b.ctx, tx, in)
		return err
	})
	return recordID, err
}

func TestTheRecordKnowsWhoMadeIt(t *testing.T) {
	b := setup(t)
	lot := b.receive(inventory.CentrePlace(leipzig), "comirnaty", "EX1", day(2021, 5, 31), 2)
	in := b.walkIn("Hier", lot)
	in.Actor = "staff:0190d1e0-0000-7000-8000-0000000000aa"
	own, err := b.s.Record(b.ctx, in)
	if err != nil {
		t.Fatal(err)
	}
	seen := b.seen("Dort")
	other, err := b.recordIssued(seen)
	if err != nil {
		t.Fatal(err)
	}
	type who struct {
		Basis                             vaccination.Basis
		Ref, Kind, Operator, Path, Region string
		Document                          *vaccination.Document
	}
	for recordID, want := range map[string]who{
		own:   {vaccination.Given, "centre:leipzig", "centre", "0190d1e0-0000-7000-8000-0000000000aa", "site", "04", nil},
		other: {vaccination.Seen, pharmacy, "pharmacy", "op-1", "web", "04", seen.Document},
	} {
		r, err := b.s.Get(b.ctx, b.pool, recordID)
		if err != nil {
			t.Fatal(err)
		}
		got := who{r.Basis, r.IssuerRef, r.IssuerKind, r.Operator, r.Path, r.Region, r.Document}
		if !reflect.DeepEqual(got, want) || !r.RecordedAt.Equal(b.now) {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
	if n := b.count(`SELECT count(*) FROM vaccination.record r WHERE r::text ~* 'gr(ü|ue)n|karl|1938|EX 1'`); n != 0 {
		t.Error("what a document says stands in the clear")
	}
	if n := b.count(`SELECT count(*) FROM jobs.outbox WHERE kind = 'vaccination.recorded'`); n != 2 {
		t.Errorf("%d events, want 2", n)
	}
	// The administration's figures and the day of a centre are about doses given here.
	d, err := b.s.Today(b.ctx, b.pool, leipzig, b.now)
	if err != nil || len(d.Visitors) != 1 {
		t.Errorf("%d people on the list of the day, want 1: %v", len(d.Visitors), err)
	}
}

func TestIssuedDoseIsGivenOnceAndSeenTwice(t *testing.T) {
	b := setup(t)
	lot := b.receive(inventory.CentrePlace(leipzig), "comirnaty", "EX1", day(2021, 5, 31), 2)
	first := b.issued("Zweimal")
	recordID, err := b.recordIssued(first)
	if err != nil {
		t.Fatal(err)
	}
	retry, again, later, elsewhere, seen := first, b.issued("ZWEIMAL"), b.issued("Zweimal"), b.issued("Zweimal"), b.seen("Zweimal")
	later.Day = day(2021, 1, 17)
	elsewhere.IssuerRef = "issuer:2"
	for name, c := range map[string]struct {
		in   vaccination.IssuedDose
		want string // record; "" = refused
	}{
		"same key":                {retry, recordID},
		"same issuer, same dose":  {again, recordID},
		"same issuer, other day":  {later, ""},
		"another issuer gives it": {elsewhere, ""},
	} {
		got, err := b.recordIssued(c.in)
		var given *vaccination.AlreadyGivenError
		if c.want == "" && (!errors.As(err, &given) || given.RecordID != recordID) {
			t.Errorf("%s: %q, %v; want the record in an error", name, got, err)
		}
		if c.want != "" && (err != nil || got != c.want) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	// At a centre the same dose is refused as well.
	if _, err := b.s.Record(b.ctx, b.walkIn("Zweimal", lot)); !errors.Is(err, vaccination.ErrAlreadyGiven) {
		t.Errorf("at a centre: %v", err)
	}
	// What was seen takes no part, and the same issuer has one record of it.
	one, err := b.recordIssued(seen)
	if err != nil || one == recordID {
		t.Fatalf("seen: %q, %v", one, err)
	}
	seen.Key = id.New()
	if two, err := b.recordIssued(seen); err != nil || two != one {
		t.Errorf("seen again: %q, %v; want %q", two, err, one)
	}
	seen.Key, seen.IssuerRef = id.New(), "issuer:3"
	if three, err := b.recordIssued(seen); err != nil || three == one {
		t.Errorf("seen by another issuer: %q, %v", three, err)
	}
	other := b.issued("Anders")
	other.Key = first.Key
	if _, err := b.recordIssued(other); !errors.Is(err, vaccination.ErrKeyReused) {
		t.Errorf("key of another dose: %v", err)
	}
}

func TestManyIssuersGiveOneDoseAtOnce(t *testing.T) {
	b := setup(t)
	ids := make([]string, 6)
	refused := 0
	for _, err := range all(len(ids), func(i int) (err error) {
		in := b.issued("Rennen")
		in.IssuerRef = "issuer:" + string(rune('a'+i%3)) // two requests of each
		ids[i], err = b.recordIssued(in)
		return err
	}) {
		if errors.Is(err, vaccination.ErrAlreadyGiven) {
			refused++
		} else if err != nil {
			t.Error(err)
		}
	}
	if n := b.count(`SELECT count(*) FROM vaccination.record`); n != 1 || refused != 4 {
		t.Errorf("%d records, %d refused; want 1 and 4", n, refused)
	}
}

func TestIssuedDoseIsChecked(t *testing.T) {
	b := setup(t)
	for name, c := range map[string]struct {
		change func(*vaccination.IssuedDose)
		want   error // nil = taken
	}{
		"as it is":                {func(*vaccination.IssuedDose) {}, nil},
		"booster 3 of 3":          {func(in *vaccination.IssuedDose) { in.DoseNumber, in.DosesTotal = 3, 3 }, nil},
		"booster 2 of 1":          {func(in *vaccination.IssuedDose) { in.DoseNumber, in.DosesTotal = 2, 1 }, nil},
		"no sex told":             {func(in *vaccination.IssuedDose) { in.Patient.Sex, in.DoseNumber = "", 4 }, nil},
		"tenth dose":              {func(in *vaccination.IssuedDose) { in.DoseNumber = 10 }, vaccination.ErrInvalid},
		"tomorrow":                {func(in *vaccination.IssuedDose) { in.Day = day(2021, 1, 19) }, vaccination.ErrInvalid},
		"before birth":            {func(in *vaccination.IssuedDose) { in.Day = day(1937, 1, 19) }, vaccination.ErrInvalid},
		"no lot":                  {func(in *vaccination.IssuedDose) { in.LotNumber = "" }, vaccination.ErrInvalid},
		"a lot like a script":     {func(in *vaccination.IssuedDose) { in.LotNumber = "<X>" }, vaccination.ErrWrongLot},
		"unknown vaccine":         {func(in *vaccination.IssuedDose) { in.ProductID = "sputnik" }, vaccination.ErrWrongProduct},
		"seen without document":   {func(in *vaccination.IssuedDose) { in.Basis = vaccination.Seen }, vaccination.ErrInvalid},
		"given with a document":   {func(in *vaccination.IssuedDose) { in.Document = b.seen("X").Document }, vaccination.ErrInvalid},
		"a centre of the portal":  {func(in *vaccination.IssuedDose) { in.IssuerRef = "centre:leipzig" }, vaccination.ErrInvalid},
		"the portal's own path":   {func(in *vaccination.IssuedDose) { in.Path = vaccination.PathSite }, vaccination.ErrInvalid},
		"nobody":                  {func(in *vaccination.IssuedDose) { in.Operator = "" }, vaccination.ErrInvalid},
		"somebody without a name": {func(in *vaccination.IssuedDose) { in.Patient.FamilyName = "" }, vaccination.ErrInvalid},
		"a kind that nobody has":  {func(in *vaccination.IssuedDose) { in.IssuerKind = "school" }, vaccination.ErrInvalid},
	} {
		in := b.issued("Geprüft")
		c.change(&in)
		if _, err := b.recordIssued(in); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func TestHistory(t *testing.T) {
	b := setup(t)
	lot := b.receive(inventory.CentrePlace(leipzig), "comirnaty", "EX1", day(2021, 12, 31), 6)
	// Dose 1 in a practice, seen by a pharmacy too; dose 2 here; dose 3 seen somewhere.
	first := b.issued("Folge")
	first.Day = day(2020, 12, 28)
	seen := b.seen("Folge")
	seen.Day = first.Day
	third := b.seen("Folge")
	third.DoseNumber, third.DosesTotal = 3, 3
	for _, in := range []vaccination.IssuedDose{first, seen} {
		if _, err := b.recordIssued(in); err != nil {
			t.Fatal(err)
		}
	}
	in := b.walkIn("Folge", lot)
	in.DoseNumber, in.Prior = 2, &vaccination.PriorDose{ProductID: "comirnaty", Day: day(2020, 12, 27)} // mistyped by a day
	second, err := b.s.Record(b.ctx, in)
	if err != nil {
		t.Fatal(err)
	}
	thirdID, err := b.recordIssued(third)
	if err != nil {
		t.Fatal(err)
	}
	recovered := b.walkIn("Genesen", lot)
	recovered.Recovered = true
	one, err := b.s.Record(b.ctx, recovered)
	if err != nil {
		t.Fatal(err)
	}
	stated := b.walkIn("Angabe", lot)
	stated.DoseNumber, stated.Prior = 2, &vaccination.PriorDose{ProductID: "comirnaty", Day: day(2020, 12, 28)}
	two, err := b.s.Record(b.ctx, stated)
	if err != nil {
		t.Fatal(err)
	}
	dose1 := vaccination.PriorDose{ProductID: "comirnaty", Day: first.Day, DoseNumber: 1}
	for name, c := range map[string]struct {
		record string
		want   []vaccination.PriorDose
	}{
		"a record tells more than a statement": {second, []vaccination.PriorDose{dose1}},
		"of two kinds of record":               {thirdID, []vaccination.PriorDose{dose1, {ProductID: "comirnaty", Day: day(2021, 1, 18), DoseNumber: 2}}},
		"recovered":                            {one, []vaccination.PriorDose{{Recovered: true}}},
		"stated only":                          {two, []vaccination.PriorDose{{ProductID: "comirnaty", Day: day(2020, 12, 28), DoseNumber: 1, Elsewhere: true}}},
	} {
		got, err := b.s.History(b.ctx, b.pool, c.record)
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v, %v; want %+v", name, got, err, c.want)
		}
	}
	if _, err := b.s.History(b.ctx, b.pool, id.New()); !errors.Is(err, vaccination.ErrNotFound) {
		t.Errorf("no record: %v", err)
	}
}

func TestHistoryOfARegistrationStaysWithTheRecord(t *testing.T) {
	b := setup(t)
	lot := b.receive(inventory.CentrePlace(leipzig), "comirnaty", "EX1", day(2021, 12, 31), 2)
	r, err := b.citizen.Register(b.ctx, citizen.Registration{
		ProgrammeID: "covid-19", GroupCode: "s2-age", ProofReady: true, FamilyName: "Genesen", GivenName: "Erika",
		Birth: citizen.PartialDate{Year: 1935, Month: 3, Day: 2}, Sex: citizen.SexFemale, Email: "g@example.org", Lang: "de",
		Prior: &citizen.Prior{Kind: citizen.PriorRecovery, Date: day(2020, 5, 4), Proof: "laboratory"},
	}, "citizen")
	if err != nil {
		t.Fatal(err)
	}
	recordID, err := b.s.Record(b.ctx, b.dose(b.appoint(r.Person.ID, leipzig, b.now.Add(time.Hour)).appointments[0], lot))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.pool.Exec(b.ctx, `DELETE FROM booking.series`); err != nil {
		t.Fatal(err)
	}
	got, err := b.s.History(b.ctx, b.pool, recordID)
	if err != nil || len(got) != 1 || got[0] != (vaccination.PriorDose{Day: day(2020, 5, 4), Recovered: true}) {
		t.Errorf("history: %+v, %v", got, err)
	}
}

func TestThePassportIsSpelledByTheSite(t *testing.T) {
	b := setup(t)
	lot := b.receive(inventory.CentrePlace(leipzig), "comirnaty", "EX1", day(2021, 5, 31), 2)
	p := b.pair("Müller", leipzig, 21)
	a := b.app(web.RoleSite, leipzig)
	card := "/site/appointments/" + p.appointments[0]
	key := hidden(t, a.Get(card).Body, "key")
	form := []string{"key", key, "lot", lot, "forms", "2021-01-11", "consent", "1", "passport_given", ""}
	want(t, "impossible", a.PostForm(card+"/dose", append(form, "passport_family", strings.Repeat("M", 300))...), 422)
	want(t, "dose", a.PostForm(card+"/dose", append(form, "passport_family", "Moeller")...), 303)
	records, err := b.s.At(b.ctx, b.pool, leipzig, day(2021, 1, 18))
	if err != nil || len(records) != 1 || records[0].Patient.PassportFamily != "Moeller" || records[0].Patient.FamilyName != "Müller" {
		t.Errorf("%+v, %v", records, err)
	}
}
