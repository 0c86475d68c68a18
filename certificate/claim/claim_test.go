package claim_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"impfportal/centre"
	"impfportal/certificate"
	"impfportal/certificate/certificatetest"
	"impfportal/certificate/claim"
	"impfportal/certificate/stop/stoptest"
	"impfportal/certificate/translog"
	"impfportal/citizen"
	"impfportal/internal/clock"
	"impfportal/internal/id"
	"impfportal/internal/pg"
	"impfportal/internal/pg/pgtest"
	"impfportal/internal/redistest"
	"impfportal/internal/vault"
	"impfportal/internal/web"
	"impfportal/internal/web/webtest"
	"impfportal/inventory"
	"impfportal/notify"
	"impfportal/programme"
	"impfportal/vaccination"
)

// bundle is a record at a centre with its released certificate.
type bundle struct {
	t      *testing.T
	ctx    context.Context
	pool   *pgxpool.Pool
	now    time.Time
	s      *claim.Service
	sites  *vaccination.Service
	record vaccination.Record
}

var born = vaccination.PartialDate{Year: 1938, Month: 5}

func setup(t *testing.T) *bundle {
	t.Helper()
	t.Parallel()
	b := &bundle{t: t, ctx: t.Context(), pool: pgtest.New(t), now: clock.At(time.Date(2021, 1, 18, 0, 0, 0, 0, time.UTC), 10, 0)}
	now := func() time.Time { return b.now }
	v := vault.ForTest()
	messages := notify.New(notify.Config{Pool: b.pool, Vault: v, Now: now, Local: true})
	makers := certificatetest.New(t, certificatetest.Config{
		Pool: b.pool, Vault: v, Redis: redistest.New(t), Now: now, Stop: func(*translog.Log) certificate.Stop { return stoptest.Never{} },
	})
	b.sites = makers.Records
	stock, certificates, leaves := makers.Stock, makers.Certificates, makers.Log
	b.s = claim.New(claim.Config{
		Pool: b.pool, Vault: v, Now: now, Records: b.sites, Certificates: certificates, Send: messages.Send,
		Sender: []string{"Portal"}, BaseURL: "https://portal.test",
	})
	b.ok(pg.InTx(b.ctx, b.pool, func(tx pgx.Tx) error {
		return errors.Join(programme.SeedDemo(b.ctx, tx, b.now), centre.SeedDemo(b.ctx, tx, b.now), stock.SeedDemo(b.ctx, tx, b.now))
	}))
	lots, err := stock.Lots(b.ctx, b.pool, inventory.CentrePlace("leipzig"), "comirnaty", b.now)
	b.ok(err)
	recordID, err := b.sites.Record(b.ctx, vaccination.RecordDose{
		Key: id.New(), Now: b.now, Channel: vaccination.WalkIn, ProductID: "comirnaty", DoseNumber: 1,
		Patient: vaccination.Patient{FamilyName: "Heim", GivenName: "Ida", Birth: born, Sex: citizen.SexFemale},
		Place:   "leipzig", StockPlace: inventory.CentrePlace("leipzig"), LotID: lots[0].ID,
		Consent: true, Forms: time.Date(2021, 1, 11, 0, 0, 0, 0, time.UTC), Actor: "staff:test", Role: "site",
	})
	b.ok(err)
	b.ok(certificates.Make(b.ctx, recordID))
	_, err = leaves.Sequence(b.ctx)
	b.ok(err)
	b.ok(certificates.Make(b.ctx, recordID))
	b.record, err = b.sites.Get(b.ctx, b.pool, recordID)
	b.ok(err)
	return b
}

func (b *bundle) ok(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// code makes a code for the record.
func (b *bundle) code() (printed string) {
	b.t.Helper()
	b.ok(pg.InTx(b.ctx, b.pool, func(tx pgx.Tx) (err error) {
		printed, err = b.s.Make(b.ctx, tx, vaccination.Desk{Actor: "staff:test", Role: "site", Now: b.now}, b.record)
		return err
	}))
	return printed
}

func TestCodeAndBirthDateOpen(t *testing.T) {
	b := setup(t)
	old := b.code()
	printed := b.code()
	for name, c := range map[string]struct {
		code  string
		birth vaccination.PartialDate
		want  error
	}{
		"as printed":      {printed, born, nil},
		"as typed":        {strings.ToLower(strings.ReplaceAll(printed, "-", " ")), born, nil},
		"the one before":  {old, born, claim.ErrNoClaim},
		"another birth":   {printed, vaccination.PartialDate{Year: 1938}, claim.ErrNoClaim},
		"no code":         {"XXXX", born, claim.ErrTypo},
		"a typing error":  {printed[:len(printed)-1] + "?", born, claim.ErrTypo},
		"somebody else's": {"0000-0000-0000-0000-0000", born, claim.ErrNoClaim},
	} {
		list, err := b.s.Open(b.ctx, c.code, c.birth)
		if !errors.Is(err, c.want) || (err == nil && (len(list) != 1 || !list[0].Ready() || list[0].RecordID != b.record.ID)) {
			t.Errorf("%s: %+v, %v", name, list, err)
		}
	}
	var clear int
	b.ok(b.pool.QueryRow(b.ctx, `SELECT count(*) FROM certificate.claim c WHERE c::text ILIKE '%' || $1 || '%'`, strings.ReplaceAll(printed, "-", "")).Scan(&clear))
	if clear != 0 {
		t.Error("the code stands in the clear")
	}
	b.now = b.now.Add(366 * 24 * time.Hour)
	if _, err := b.s.Open(b.ctx, printed, born); !errors.Is(err, claim.ErrNoClaim) {
		t.Errorf("after a year: %v", err)
	}
	b.ok(pg.InTx(b.ctx, b.pool, func(tx pgx.Tx) error {
		n, err := claim.RetentionRules()[0].Run(b.ctx, tx, b.now, 0, 10)
		if n != 1 {
			t.Errorf("%d codes went", n)
		}
		return err
	}))
}

func TestTriesAreLimited(t *testing.T) {
	b := setup(t)
	printed := b.code()
	wrong := vaccination.PartialDate{Year: 1940}
	for range 5 { // a right one begins the count anew
		_, _ = b.s.Open(b.ctx, printed, wrong)
	}
	if _, err := b.s.Open(b.ctx, printed, born); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() { _, _ = b.s.Open(b.ctx, printed, wrong) })
	}
	wg.Wait()
	if _, err := b.s.Open(b.ctx, printed, born); !errors.Is(err, claim.ErrNoClaim) {
		t.Errorf("after twenty wrong birth dates: %v", err)
	}
	if _, err := b.s.Open(b.ctx, b.code(), born); err != nil {
		t.Errorf("a new code: %v", err)
	}
}

func TestNoCodeForTheRegistered(t *testing.T) {
	b := setup(t)
	b.record.LoginPersonID = id.New()
	err := pg.InTx(b.ctx, b.pool, func(tx pgx.Tx) error {
		_, err := b.s.Make(b.ctx, tx, vaccination.Desk{Actor: "staff:test", Now: b.now}, b.record)
		return err
	})
	if !errors.Is(err, claim.ErrRegistered) {
		t.Error(err)
	}
}

func TestPages(t *testing.T) {
	b := setup(t)
	app := func() *webtest.App {
		return webtest.New(t, webtest.Config{
			Pool: b.pool, Now: func() time.Time { return b.now }, Routes: b.s.Routes(), Bundles: []web.Bundle{claim.Assets, vaccination.Assets},
		})
	}
	site := app()
	site.LoginAs(web.User{Kind: "staff", ID: id.New(), Name: "Test", Roles: []web.Role{web.RoleSite}, Scope: "leipzig"})
	path := "/site/records/" + b.record.ID + "/claim"
	expect := func(what string, a webtest.Answer, status int, has ...string) {
		t.Helper()
		if a.Status != status {
			t.Fatalf("%s: %d\n%s", what, a.Status, a.Body)
		}
		for _, h := range has {
			if !strings.Contains(a.Body, h) {
				t.Errorf("%s: no %q\n%s", what, h, a.Body)
			}
		}
	}
	expect("make", site.Get(path), 200, "Heim, Ida", "Jetzt ausdrucken")
	expect("print", site.PostForm(path, "how", "print"), 200, "%PDF")
	expect("no address", site.PostForm(path, "how", "post"), 422)
	expect("too long", site.PostForm(path, "how", "post", "extra", strings.Repeat("Haus ", 20), "street", strings.Repeat("Weg ", 25), "city", strings.Repeat("Ort ", 25), "postcode", "04109"), 422, "passt nicht in das Fenster")
	expect("post", site.PostForm(path, "how", "post", "street", "Weg 1", "postcode", "04109", "city", "Leipzig"), 303)
	expect("sent", site.Get(path), 200, "gedruckt und verschickt", "Einen Code gibt es schon")
	expect("no choice", site.PostForm(path), 422, "Bitte wählen Sie, wie")
	var letters int
	b.ok(b.pool.QueryRow(b.ctx, `SELECT count(*) FROM notify.message WHERE kind = 'claim.code'`).Scan(&letters))
	if letters != 1 {
		t.Errorf("%d letters", letters)
	}
	other := app()
	other.LoginAs(web.User{Kind: "staff", ID: id.New(), Name: "Test", Roles: []web.Role{web.RoleSite}, Scope: "dresden"})
	expect("another centre", other.PostForm(path, "how", "print"), 404)

	// A team sees whom it vaccinated, and nobody else.
	team := app()
	team.LoginAs(web.User{Kind: "staff", ID: id.New(), Name: "Test", Roles: []web.Role{web.RoleTeam}, Scope: "team-1"})
	expect("of a centre", team.Get("/teams/records/"+b.record.ID+"/claim"), 404)
	_, err := b.pool.Exec(b.ctx, `ALTER TABLE vaccination.record DISABLE TRIGGER USER; UPDATE vaccination.record SET issuer_ref = 'facility-team:team-1', issuer_kind = 'mobile' WHERE id = '`+b.record.ID+`'; ALTER TABLE vaccination.record ENABLE TRIGGER USER`)
	b.ok(err)
	expect("of the team", team.Get("/teams/records/"+b.record.ID+"/claim"), 200, "Heim, Ida", "/teams/today")
	expect("of the team, printed", team.PostForm("/teams/records/"+b.record.ID+"/claim", "how", "print"), 200, "%PDF")
	expect("the page of the sites", team.Get(path), 403)
	op := "/api/v1/teams/records/" + b.record.ID + "/claim"
	var made struct{ Code, Address string }
	expect("of the team, by API", team.JSON("POST", op, nil, &made), 201, `"until":"2022-01-18T`, "https://portal.test/certificates/claim")
	if list, err := b.s.Open(b.ctx, made.Code, born); err != nil || len(list) != 1 {
		t.Errorf("%q opens %d: %v", made.Code, len(list), err)
	}
	post := map[string]any{"post": map[string]any{"street": "Weg 1", "postcode": "04109"}}
	expect("no city", team.JSON("POST", op, post, nil), 422, `"city"`)
	post["post"].(map[string]any)["city"] = "Leipzig"
	if a := team.JSON("POST", op, post, nil); a.Status != 201 || strings.Contains(a.Body, `"code"`) {
		t.Errorf("by letter: %d %s", a.Status, a.Body)
	}
	expect("a site's operation", team.JSON("POST", "/api/v1"+path, nil, nil), 403)
	stranger := app()
	stranger.LoginAs(web.User{Kind: "staff", ID: id.New(), Name: "Test", Roles: []web.Role{web.RoleTeam}, Scope: "team-2"})
	expect("another team, by API", stranger.JSON("POST", op, nil, nil), 404)
	nobody := app()
	nobody.LoginAs(web.User{Kind: "staff", ID: id.New(), Name: "Test", Roles: []web.Role{web.RoleTeam}})
	expect("of no team", nobody.JSON("POST", op, nil, nil), 404)
	var looked int
	b.ok(b.pool.QueryRow(b.ctx, `SELECT count(*) FROM audit.entry WHERE action = 'vaccination.read' AND role = 'team'`).Scan(&looked))
	if looked == 0 {
		t.Error("nobody knows which team has looked")
	}

	printed, a := b.code(), app()
	form := []string{"code", printed, "birth_day", "", "birth_month", "5", "birth_year", "1938"}
	expect("form", a.Get("/certificates/claim"), 200, "Abruf-Code")
	expect("typo", a.PostForm("/certificates/claim", "code", "X", "birth_year", "1938"), 422, "Tippfehler")
	expect("wrong", a.PostForm("/certificates/claim", "code", printed, "birth_year", "1939"), 422, "passen nicht zusammen")
	expect("found", a.PostForm("/certificates/claim", form...), 200, "Comirnaty", "URN:UVCI:01DE/", "Als PDF herunterladen")
	list, err := b.s.Open(b.ctx, printed, born)
	b.ok(err)
	down := "/certificates/claim/" + list[0].ID
	expect("PDF", a.PostForm(down+"/pdf", form...), 200, "%PDF")
	expect("PNG", a.PostForm(down+"/png", form...), 200, "PNG")
	expect("text", a.PostForm(down+"/txt", form...), 200, "HC1:")
	expect("without the code", a.PostForm(down+"/pdf", "code", "", "birth_year", "1938"), 422)
	op = "/api/v1/certificates/claim"
	expect("by API", a.JSON("POST", op, map[string]any{"code": printed, "birth": "1938-05"}, nil), 200, `"state":"ready"`, `"hc1":"HC1:`)
	expect("by API, another birth date", a.JSON("POST", op, map[string]any{"code": printed, "birth": "1938"}, nil), 422, `"code"`)
	expect("by API, typo", a.JSON("POST", op, map[string]any{"code": "X", "birth": "1938-05"}, nil), 422, `"code"`)
	expect("by API, no date", a.JSON("POST", op, map[string]any{"code": printed, "birth": "x"}, nil), 422, `"birth"`)
	expect("another certificate", a.PostForm("/certificates/claim/"+id.New()+"/pdf", form...), 404)
}
