package citizen

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/pg"
	"impfportal/internal/vault"
	"impfportal/internal/web"
	"impfportal/notify"
)

func TestRegisterAndRead(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := context.Background()
	in := erika()
	in.FamilyName, in.PassportFamily = "  Mu\u0308ller ", "Mueller"
	in.Birth = PartialDate{1938, 3, 0}
	in.Email, in.Phone = " Erika@Example.ORG ", "+49 (0)170 / 123 45 67"
	in.Address = notify.Address{Street: "Am Markt 1", Postcode: "04109", City: "Leipzig"}
	in.Prior = &Prior{Kind: PriorDose, ProductID: "comirnaty", Date: time.Date(2021, 1, 4, 0, 0, 0, 0, time.UTC), Proof: "pass"}
	in.OnBehalf = true
	r := b.register(in)
	if r.Duplicate || r.Person.State != StateActive {
		t.Errorf("a first registration is %+v", r)
	}
	p, err := b.Person(ctx, b.pool, r.Person.ID)
	if err != nil {
		t.Fatal(err)
	}
	if p.FamilyName != "Müller" || p.PassportFamily != "Mueller" || p.Phone != "+491701234567" || p.Email != "Erika@example.org" ||
		p.Birth != (PartialDate{1938, 3, 0}) || p.Address.City != "Leipzig" || p.Prior == nil || *p.Prior != *in.Prior || !p.OnBehalf ||
		PrintCode(p.CaseNumber) != r.CaseNumber || p.GroupCode != "s2-age" || !p.RegisteredAt.Equal(opening) {
		t.Errorf("read back: %+v", p)
	}
	if to := b.Recipient(p); to.Postal == nil || to.Postal.Name != "Erika Müller" || to.Postal.Country != "" || to.KeyID != p.KeyID {
		t.Errorf("recipient %+v", to)
	}
	// Nothing of it stands in the database in clear.
	var row string
	if err := b.pool.QueryRow(ctx, `SELECT p::text || l::text FROM citizen.person p JOIN citizen.login l ON l.person_id = p.id`).Scan(&row); err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"ller", "Erika", "1938", "Leipzig", "04109", "123", "comirnaty", strings.ReplaceAll(r.Secret, "-", "")} {
		if secret != "123" && strings.Contains(strings.ToLower(row), strings.ToLower(secret)) {
			t.Errorf("%q stands in clear: %s", secret, row)
		}
	}
	b.work()
	b.work()
	m := b.messages()
	if len(m) != 2 {
		t.Fatalf("messages: %+v", m)
	}
	for _, x := range m {
		if !strings.Contains(x.Text, r.CaseNumber) || strings.Contains(x.Text, r.Secret) {
			t.Errorf("confirmation: %s", x.Text)
		}
	}
}

func TestRegisterRefuses(t *testing.T) {
	t.Parallel()
	b := setup(t)
	day := func(s string) time.Time {
		d, err := ParsePartialDate(s)
		if err != nil {
			t.Fatal(err)
		}
		return d.Earliest()
	}
	for name, c := range map[string]struct {
		change func(r *Registration)
		want   string
	}{
		"group not open":                       {func(r *Registration) { r.GroupCode = "everybody" }, "group: citizen.error.group_closed"},
		"group unknown":                        {func(r *Registration) { r.GroupCode = "kings" }, "group: citizen.error.group_required"},
		"programme unknown":                    {func(r *Registration) { r.ProgrammeID = "x'); --" }, "group: citizen.error.group_required"},
		"too young for age":                    {func(r *Registration) { r.Birth = PartialDate{1942, 0, 0} }, "birth: citizen.error.group_age"},
		"year only, counted from its last day": {func(r *Registration) { r.Birth = PartialDate{1941, 0, 0} }, "birth: citizen.error.group_age"},
		"too young for every product":          {func(r *Registration) { r.GroupCode, r.Birth = "s2-work", PartialDate{2006, 1, 1} }, "birth: citizen.error.too_young"},
		"no proof":                             {func(r *Registration) { r.ProofReady = false }, "proof_ready: citizen.error.proof_required"},
		"no name":                              {func(r *Registration) { r.FamilyName = " " }, "family_name: citizen.error.family_name_required"},
		"200 characters":                       {func(r *Registration) { r.FamilyName = strings.Repeat("a", 200) }, "family_name: citizen.error.too_long"},
		"emoji":                                {func(r *Registration) { r.GivenName = "Erika 😀" }, "given_name: citizen.error.emoji"},
		"markup":                               {func(r *Registration) { r.GivenName = "<script>" }, "given_name: citizen.error.character"},
		"another script alone":                 {func(r *Registration) { r.FamilyName = "Иванов" }, "passport_family: citizen.error.passport_latin"},
		"another script as the passport's":     {func(r *Registration) { r.PassportGiven = "Οδυσσέας" }, "passport_given: citizen.error.passport_latin"},
		"no birth":                             {func(r *Registration) { r.Birth = PartialDate{} }, "birth: citizen.error.birth_required"},
		"impossible birth":                     {func(r *Registration) { r.Birth = PartialDate{1938, 2, 30} }, "birth: citizen.error.date_impossible"},
		"future birth":                         {func(r *Registration) { r.Birth = PartialDate{2021, 1, 12} }, "birth: citizen.error.date_future"},
		"older than anybody":                   {func(r *Registration) { r.Birth = PartialDate{1880, 0, 0} }, "birth: citizen.error.birth_too_old"},
		"sex":                                  {func(r *Registration) { r.Sex = "" }, "sex: citizen.error.sex_required"},
		"no contact":                           {func(r *Registration) { r.Phone, r.Email = "", "" }, "phone: citizen.error.contact_required"},
		"postcode alone":                       {func(r *Registration) { r.Phone, r.Email, r.Address.Postcode = "", "", "04109" }, "phone: citizen.error.contact_required"},
		"half an address":                      {func(r *Registration) { r.Address.Street = "Am Markt 1" }, "city: citizen.error.address_incomplete_city"},
		"postcode":                             {func(r *Registration) { r.Address.Postcode = "0410" }, "postcode: citizen.error.postcode"},
		"postcode 00000":                       {func(r *Registration) { r.Address.Postcode = "00000" }, "postcode: citizen.error.postcode"},
		"markup in street":                     {func(r *Registration) { r.Address.Street = "<img src=x>" }, "street: citizen.error.character"},
		"country":                              {func(r *Registration) { r.Address.Country = "XX" }, "country: citizen.error.country"},
		"phone":                                {func(r *Registration) { r.Phone = "12" }, "phone: citizen.error.phone"},
		"phone of words":                       {func(r *Registration) { r.Phone = "call me" }, "phone: citizen.error.phone"},
		"email":                                {func(r *Registration) { r.Email = "erika@" }, "email: citizen.error.email"},
		"email with a name":                    {func(r *Registration) { r.Email = "Erika <erika@example.org>" }, "email: citizen.error.email"},
		"two emails":                           {func(r *Registration) { r.Email = "a@example.org,b@example.org" }, "email: citizen.error.email"},
		"email header":                         {func(r *Registration) { r.Email = "a@example.org\nBcc: x@example.org" }, "email: citizen.error.email"},
		"email host":                           {func(r *Registration) { r.Email = "a@localhost" }, "email: citizen.error.email"},
		"prior kind":                           {func(r *Registration) { r.Prior = &Prior{Kind: "x"} }, "prior: citizen.error.prior_required"},
		"prior product": {func(r *Registration) {
			r.Prior = &Prior{Kind: PriorDose, Date: day("2021-01-04"), Proof: "pass", ProductID: "influvac"}
		}, "prior_product: citizen.error.prior_product_required"},
		"prior in the future": {func(r *Registration) {
			r.Prior = &Prior{Kind: PriorRecovery, Date: day("2021-01-12"), Proof: "laboratory"}
		}, "prior_date: citizen.error.date_future"},
		"prior proof of the other kind": {func(r *Registration) {
			r.Prior = &Prior{Kind: PriorRecovery, Date: day("2020-11-12"), Proof: "pass"}
		}, "prior_proof: citizen.error.prior_proof_required"},
	} {
		in := erika()
		c.change(&in)
		_, err := b.Register(context.Background(), in, SessionKind)
		var invalid Invalid
		if !errors.As(err, &invalid) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
	if n := b.count(`SELECT (SELECT count(*) FROM citizen.person) + (SELECT count(*) FROM vault.key) + (SELECT count(*) FROM jobs.outbox)`); n != 0 {
		t.Errorf("%d rows were stored", n)
	}
}

func TestOneOfThreeContactsIsEnough(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for i, change := range []func(r *Registration){
		func(r *Registration) { r.Email = "" },
		func(r *Registration) { r.Phone = "" },
		func(r *Registration) {
			r.Phone, r.Email = "", ""
			r.Address = notify.Address{Street: "Am Markt 1", Postcode: "04109", City: "Leipzig"}
		},
		func(r *Registration) { r.Email, r.Phone = "", "0341 1231234" }, // a landline
	} {
		in := erika()
		in.GivenName += strings.Repeat("a", i)
		change(&in)
		b.register(in)
	}
	b.work()
	var ways []string
	for _, m := range b.messages() {
		ways = append(ways, m.Channel)
	}
	if want := []string{"sms", "email", "letter", "none"}; !slices.Equal(ways, want) {
		t.Errorf("confirmations went by %v, want %v", ways, want)
	}
}

func TestLogin(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := context.Background()
	r, other := b.register(erika()), newCaseNumber()
	if p, err := b.Login(ctx, strings.ToLower(r.CaseNumber), " "+strings.ReplaceAll(r.Secret, "-", " ")); err != nil || p.ID != r.Person.ID {
		t.Fatalf("login: %v", err)
	}
	for name, c := range map[string]struct {
		number, secret string
		want           error
	}{
		"wrong secret":   {r.CaseNumber, newSecret(), ErrLogin},
		"unknown number": {other, r.Secret, ErrLogin},
		"both unknown":   {other, newSecret(), ErrLogin},
		"typo in number": {"A" + r.CaseNumber[1:], r.Secret, ErrTypo},
		"typo in secret": {r.CaseNumber, r.Secret[:len(r.Secret)-1] + "*", ErrTypo},
		"nothing":        {"", "", ErrTypo},
	} {
		if name == "typo in number" && r.CaseNumber[0] == 'A' {
			continue
		}
		if _, err := b.Login(ctx, c.number, c.secret); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func TestNewSecretEndsTheOldOneWhenUsed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := context.Background()
	r := b.register(erika())
	if err := b.RequestLogin(ctx, LostRequest{CaseNumber: r.CaseNumber}); err != nil {
		t.Fatal(err)
	}
	b.work()
	var secret string
	both := false
	for _, m := range b.messages() {
		if m.Kind != "citizen.new_login" {
			continue
		}
		for _, word := range strings.Fields(m.Text) {
			if _, err := ParseSecret(strings.TrimRight(word, ".")); err == nil {
				secret = strings.TrimRight(word, ".")
				both = both || strings.Contains(m.Text, r.CaseNumber)
			}
		}
	}
	if secret == "" || both {
		t.Fatalf("new secret sent: %v, together with the case number: %v", secret != "", both)
	}
	if _, err := b.Login(ctx, r.CaseNumber, r.Secret); err != nil {
		t.Errorf("asking for new login data locked the person out: %v", err)
	}
	_, err := b.pool.Exec(ctx, `INSERT INTO web.session (token_hash, kind, subject, roles, created_at, expires_at)
		VALUES ('x', 'citizen', $1, '{citizen}', $2, $3)`, r.Person.ID, opening, opening.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Login(ctx, r.CaseNumber, secret); err != nil {
		t.Fatalf("new secret: %v", err)
	}
	if _, err := b.Login(ctx, r.CaseNumber, r.Secret); !errors.Is(err, ErrLogin) {
		t.Errorf("the old secret still works: %v", err)
	}
	if n := b.count(`SELECT count(*) FROM web.session`); n != 0 {
		t.Errorf("%d sessions of the old secret go on", n)
	}
	// Once a day at most, whoever asks; and not for nobody.
	before := len(b.messages())
	for _, q := range []LostRequest{{CaseNumber: r.CaseNumber}, {Family: "Mueller", Given: "ERIKA", Birth: PartialDate{1938, 3, 14}}, {Family: "Niemand", Given: "Nina", Birth: PartialDate{1938, 3, 14}}} {
		if err := b.RequestLogin(ctx, q); err != nil {
			t.Fatal(err)
		}
	}
	b.work()
	if n := len(b.messages()); n != before {
		t.Errorf("%d more messages", n-before)
	}
	b.set(opening.Add(25 * time.Hour))
	if err := b.RequestLogin(ctx, LostRequest{Family: "Mueller", Given: "ERIKA", Birth: PartialDate{1938, 3, 14}}); err != nil {
		t.Fatal(err)
	}
	b.work()
	if n := len(b.messages()); n != before+2 {
		t.Errorf("%d messages a day later, want 2", n-before)
	}
}

func TestSearch(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := context.Background()
	in := erika()
	in.Address = notify.Address{Street: "Am Markt 1", Postcode: "04109", City: "Leipzig"}
	r := b.register(in)
	in.GivenName, in.Birth = "Otto", PartialDate{1935, 0, 0}
	otto := b.register(in)
	in.FamilyName = "Schulze"
	b.register(in)
	for name, c := range map[string]struct {
		q    SearchQuery
		want []string
	}{
		"case number":            {SearchQuery{CaseNumber: strings.ToLower(r.CaseNumber)}, []string{r.Person.ID}},
		"unknown number":         {SearchQuery{CaseNumber: newCaseNumber()}, nil},
		"name and birth":         {SearchQuery{Family: "MUELLER", Given: "Erika", Birth: PartialDate{1938, 3, 14}}, []string{r.Person.ID}},
		"name and year":          {SearchQuery{Family: "Müller", Given: "Erika", Birth: PartialDate{1938, 0, 0}}, []string{r.Person.ID}},
		"full date, year stored": {SearchQuery{Family: "Müller", Given: "Otto", Birth: PartialDate{1935, 5, 5}}, []string{otto.Person.ID}},
		"wrong day":              {SearchQuery{Family: "Müller", Given: "Erika", Birth: PartialDate{1938, 3, 15}}, nil},
		"name and postcode":      {SearchQuery{Family: "Müller", Postcode: "04109"}, []string{otto.Person.ID, r.Person.ID}},
		"narrowed":               {SearchQuery{Family: "Müller", Given: "Er", Postcode: "04109"}, []string{r.Person.ID}},
		"other postcode":         {SearchQuery{Family: "Müller", Postcode: "04107"}, nil},
		"name alone":             {SearchQuery{Family: "Müller"}, nil},
		"nothing":                {SearchQuery{}, nil},
	} {
		found, err := b.Search(ctx, b.pool, c.q)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		var ids []string
		for _, p := range found {
			ids = append(ids, p.ID)
		}
		slices.Sort(ids)
		slices.Sort(c.want)
		if !slices.Equal(ids, c.want) {
			t.Errorf("%s: %v, want %v", name, ids, c.want)
		}
	}
	if _, err := b.Search(ctx, b.pool, SearchQuery{CaseNumber: "A" + r.CaseNumber}); !errors.Is(err, ErrTypo) {
		t.Errorf("typo: %v", err)
	}
}

func TestDuplicateIsStoredForClarification(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := context.Background()
	first := b.register(erika())
	in := erika()
	in.FamilyName, in.GivenName, in.Phone, in.Email = "MUELLER", "erika", "", "stranger@example.org"
	second := b.register(in)
	if !second.Duplicate || second.Person.State != StateCheck {
		t.Fatalf("second: %+v", second)
	}
	b.work()
	b.work()
	var toKnown, toStranger int
	for _, m := range b.messages() {
		switch {
		case m.Kind == "citizen.registered_twice":
			toKnown++
			if m.To == "stranger@example.org" || !strings.Contains(m.Text, "0800 000 2021") {
				t.Errorf("told %s: %s", m.To, m.Text)
			}
		case m.To == "stranger@example.org":
			toStranger++
			if m.Kind != "citizen.registered" || strings.Contains(m.Text, first.CaseNumber) {
				t.Errorf("the stranger was told: %+v", m)
			}
		}
	}
	if toKnown != 2 || toStranger != 1 {
		t.Errorf("known contact told %d times (e-mail and SMS), stranger %d times", toKnown, toStranger)
	}
	// It logs in and books like any other.
	if _, err := b.Login(ctx, second.CaseNumber, second.Secret); err != nil {
		t.Errorf("login: %v", err)
	}
	lock := func(id string) error {
		return pg.InTx(ctx, b.pool, func(tx pgx.Tx) error { return lockForBooking(ctx, tx, id) })
	}
	for _, r := range []Registered{first, second} {
		if err := lock(r.Person.ID); err != nil {
			t.Errorf("may not book: %v", err)
		}
	}
	pending, err := b.Pending(ctx, b.pool)
	if err != nil {
		t.Fatal(err)
	}
	list, err := b.Checks(ctx, b.pool, pending)
	if err != nil || len(list) != 1 || list[0].New.ID != second.Person.ID || list[0].Known == nil || list[0].Known.ID != first.Person.ID {
		t.Fatalf("checks: %+v, %v", list, err)
	}
	// Another programme is another registration.
	in.ProgrammeID, in.GroupCode = "influenza", ""
	if err := b.pool.QueryRow(ctx, `SELECT code FROM programme.priority_group WHERE programme_id = 'influenza' AND open ORDER BY min_age, rank LIMIT 1`).Scan(&in.GroupCode); err != nil {
		t.Fatal(err)
	}
	if r := b.register(in); r.Duplicate {
		t.Error("a registration for another programme is taken for a second one")
	}
	// The agent: the same person. The second one is gone, with its login data.
	if err := b.ClarifySame(ctx, second.Person.ID, "staff:x", "agent"); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Login(ctx, second.CaseNumber, second.Secret); !errors.Is(err, ErrLogin) {
		t.Errorf("login data of the second one: %v", err)
	}
	if _, err := b.Login(ctx, first.CaseNumber, first.Secret); err != nil {
		t.Errorf("login data of the first one: %v", err)
	}
	if _, err := b.Vault.Open(ctx, b.pool, second.Person.KeyID); !errors.Is(err, vault.ErrDestroyed) {
		t.Errorf("key of the second one: %v", err)
	}
	if err := lock(second.Person.ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("the second one may still book: %v", err)
	}
	if err := b.ClarifySame(ctx, second.Person.ID, "staff:x", "agent"); !errors.Is(err, ErrNotFound) {
		t.Errorf("clarified twice: %v", err)
	}
	// Its contact is told, under a key that lives on, without a word of the first.
	told := 0
	for _, m := range b.messages() {
		if m.Kind != "citizen.ended" {
			continue
		}
		told++
		if m.To != "stranger@example.org" || !strings.Contains(m.Text, second.CaseNumber) || !strings.Contains(m.Text, "0800 000 2021") ||
			strings.Contains(m.Text, first.CaseNumber) || strings.Contains(m.Text, "schon") {
			t.Errorf("told %+v", m)
		}
	}
	if told != 1 {
		t.Errorf("told %d times that the registration has ended", told)
	}
	// A third one, found to be another person: both may book, and a fourth is noticed again.
	third := b.register(erika())
	if err := b.ClarifyOther(ctx, third.Person.ID, "staff:x", "agent"); err != nil {
		t.Fatal(err)
	}
	if err := lock(third.Person.ID); err != nil {
		t.Errorf("another person may not book: %v", err)
	}
	fourth := b.register(erika())
	if !fourth.Duplicate {
		t.Error("a fourth one is not noticed")
	}
	// The first was false: it goes, unless it has an appointment.
	b.books(map[string]bool{first.Person.ID: true})
	if err := b.ClarifyReplace(ctx, fourth.Person.ID, "staff:x", "agent"); !errors.Is(err, ErrStanding) {
		t.Errorf("replaced in spite of an appointment: %v", err)
	}
	b.books(nil)
	if err := b.ClarifyReplace(ctx, fourth.Person.ID, "staff:x", "agent"); err != nil {
		t.Fatal(err)
	}
	if err := lock(first.Person.ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("the false one may still book: %v", err)
	}
	if err := lock(fourth.Person.ID); err != nil {
		t.Errorf("the right one may not book: %v", err)
	}
}

// The first one goes by itself, and the stranger registers again before the
// agent decides: two active registrations of one identity cannot be.
func TestReplacingWhatIsGone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := context.Background()
	first := b.register(erika())
	second := b.register(erika())
	if err := b.Delete(ctx, first.Person.ID, "citizen:x", "citizen"); err != nil {
		t.Fatal(err)
	}
	third := b.register(erika())
	if third.Duplicate {
		t.Fatal("nobody is active, and the third one is taken for a second")
	}
	if err := b.ClarifyReplace(ctx, second.Person.ID, "staff:x", "agent"); !errors.Is(err, ErrAnother) {
		t.Fatalf("replaced what is gone: %v", err)
	}
	if p, ok := errors.AsType[*web.Problem](problem(ErrAnother)); !ok || p.Status != 409 {
		t.Error("the agent is told nothing")
	}
	// The agent sees the new one beside it now, and may decide on that.
	if c, err := b.CheckOf(ctx, b.pool, second.Person.ID); err != nil || c == nil || c.Known == nil || c.Known.ID != third.Person.ID {
		t.Fatalf("held against %+v, %v", c, err)
	}
	if err := b.ClarifyReplace(ctx, second.Person.ID, "staff:x", "agent"); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]State{first.Person.ID: StateClosed, second.Person.ID: StateActive, third.Person.ID: StateClosed} {
		if n := b.count(`SELECT count(*) FROM citizen.person WHERE id = $1 AND state = $2`, id, want); n != 1 {
			t.Errorf("%s is not %s", id, want)
		}
	}
	// Gone, and nobody has come since: nothing is in the way.
	fourth := b.register(erika())
	if err := b.Delete(ctx, second.Person.ID, "citizen:x", "citizen"); err != nil {
		t.Fatal(err)
	}
	if err := b.ClarifyReplace(ctx, fourth.Person.ID, "staff:x", "agent"); err != nil {
		t.Error(err)
	}
}

func TestPartialBirthDatesMeet(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		first, second PartialDate
		same          bool
	}{
		{PartialDate{1938, 0, 0}, PartialDate{1938, 3, 14}, true},
		{PartialDate{1938, 3, 14}, PartialDate{1938, 3, 0}, true},
		{PartialDate{1938, 3, 14}, PartialDate{1938, 0, 0}, true},
		{PartialDate{1938, 3, 0}, PartialDate{1938, 4, 1}, false},
		{PartialDate{1938, 3, 14}, PartialDate{1938, 3, 15}, false},
		{PartialDate{1938, 0, 0}, PartialDate{1937, 0, 0}, false},
	} {
		b := setup(t)
		in := erika()
		in.Birth = c.first
		b.register(in)
		in.Birth = c.second
		if r := b.register(in); r.Duplicate != c.same {
			t.Errorf("%v then %v: duplicate %v", c.first, c.second, r.Duplicate)
		}
	}
}

// Of many at once one is active, whatever the spelling and the known parts of
// the birth date.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			in := erika()
			in.FamilyName = []string{"Müller", "Mueller", "Mu\u0308ller", "MÜLLER"}[i%4]
			in.Birth = []PartialDate{{1938, 3, 14}, {1938, 3, 0}, {1938, 0, 0}}[i%3]
			if _, err := b.Register(context.Background(), in, SessionKind); err != nil {
				t.Errorf("register: %v", err)
			}
		}()
	}
	wg.Wait()
	if a, c := b.persons(StateActive), b.persons(StateCheck); a != 1 || c != 15 {
		t.Errorf("%d active and %d to check, want 1 and 15", a, c)
	}
}

// The same draft sent several times at once registers once, and all get the
// same login data.
func TestPressedTwice(t *testing.T) {
	t.Parallel()
	b := setup(t)
	d := newDraft(opening)
	var wg sync.WaitGroup
	got := make([]Registered, 8)
	for i := range got {
		wg.Add(1)
		go func() {
			defer wg.Done()
			in := erika()
			in.id, in.caseNumber, in.secret = d.PersonID, d.Case, d.Secret
			var err error
			if got[i], err = b.Register(context.Background(), in, SessionKind); err != nil {
				t.Errorf("register: %v", err)
			}
		}()
	}
	wg.Wait()
	if n := b.count(`SELECT count(*) FROM citizen.person`); n != 1 {
		t.Errorf("%d registrations", n)
	}
	for _, r := range got {
		if r.CaseNumber != got[0].CaseNumber || r.Secret != got[0].Secret || r.Duplicate {
			t.Errorf("different answers: %+v", r)
		}
	}
	if n := b.count(`SELECT count(*) FROM jobs.outbox`); n != 1 {
		t.Errorf("%d tasks", n)
	}
}
