package citizen

import (
	"context"
	"fmt"
	"html"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/go-redis/redis_rate/v10"
	"github.com/redis/go-redis/v9"

	"impfportal/internal/web"
	"impfportal/internal/web/webtest"
)

// pass lets a browser through the gate while it is open.
func pass(open *bool) func(c *web.Ctx, group string) error {
	return func(*web.Ctx, string) error {
		if *open {
			return nil
		}
		return web.Forbidden()
	}
}

var codeShown = regexp.MustCompile(`class="code"[^>]*>([0-9A-Z-]+)<`)

// shown are case number and secret of a page with login data.
func shown(t *testing.T, body string) (number, secret string) {
	t.Helper()
	m := codeShown.FindAllStringSubmatch(body, -1)
	if len(m) != 2 {
		t.Fatalf("no login data on the page: %s", body)
	}
	return m[0][1], m[1][1]
}

func TestWholeWayWithAPassThatRunsOut(t *testing.T) {
	t.Parallel()
	b := setup(t)
	open := false
	app := b.app(pass(&open))
	if ans := app.Get("/register"); ans.Status != http.StatusForbidden {
		t.Fatalf("without a pass: %d", ans.Status)
	}
	if ans := app.PostForm("/register", fill(stepGroup)...); ans.Status != http.StatusForbidden {
		t.Fatalf("without a pass: %d", ans.Status)
	}
	open = true
	if ans := app.Get("/register"); ans.Status != 200 || !strings.Contains(ans.Body, "Schritt 1 von 5") || !strings.Contains(ans.Body, "covid-19/s2-age") {
		t.Fatalf("first step: %d %s", ans.Status, ans.Body)
	}
	at := toStep(t, app, stepPerson)
	open = false // the pass runs out in the middle
	flow := strings.TrimSuffix(at, "/2")
	if ans := app.Get(flow + "/5"); ans.Status != 303 || ans.Location != flow+"/2" {
		t.Errorf("a step ahead: %d %s", ans.Status, ans.Location)
	}
	for step := stepPerson; step < stepCheck; step++ {
		path := fmt.Sprintf("%s/%d", flow, step)
		if ans := app.Get(path); ans.Status != 200 || !strings.Contains(ans.Body, fmt.Sprintf("Schritt %d von 5", step)) {
			t.Fatalf("step %d: %d", step, ans.Status)
		}
		if ans := app.PostForm(path, fill(step)...); ans.Status != 303 || ans.Location != fmt.Sprintf("%s/%d", flow, step+1) {
			t.Fatalf("step %d: %d to %s\n%s", step, ans.Status, ans.Location, ans.Body)
		}
	}
	// Going back and reloading loses nothing, and nothing is stored yet.
	if ans := app.PostForm(flow+"/4", fill(stepContact, "city", "Halb fertig", "back", "1")...); ans.Location != flow+"/3" {
		t.Errorf("back: %d %s", ans.Status, ans.Location)
	}
	if ans := app.Get(flow + "/4"); !strings.Contains(ans.Body, "Halb fertig") || !strings.Contains(ans.Body, "erika@example.org") {
		t.Error("going back lost what was typed")
	}
	app.PostForm(flow+"/4", fill(stepContact, "city", "")...)
	check := app.Get(flow + "/5")
	for _, want := range []string{"Müller", "Erika", "14.03.1938", "weiblich", "erika@example.org", "Für mich", "Schritt 5 von 5"} {
		if !strings.Contains(check.Body, want) {
			t.Errorf("'check your answers' lacks %q", want)
		}
	}
	if n := b.count(`SELECT count(*) FROM citizen.person`); n != 0 {
		t.Fatal("stored before the end")
	}
	// A double click: both requests carry the same draft.
	other := app.Another()
	for _, name := range []string{"csrf", "reg-" + strings.TrimPrefix(flow, "/register/") + "-0"} {
		other.SetCookie(name, app.Cookie(name))
	}
	for _, browser := range []*webtest.App{app, other} {
		if ans := browser.PostForm(flow + "/finish"); ans.Status != 303 || ans.Location != flow+"/done" {
			t.Fatalf("finish: %d %s %s", ans.Status, ans.Location, ans.Body)
		}
	}
	if n := b.persons(StateActive); n != 1 {
		t.Fatalf("%d registrations", n)
	}
	done := app.Get(flow + "/done")
	number, secret := shown(t, done.Body)
	if n2, s2 := shown(t, other.Get(flow+"/done").Body); n2 != number || s2 != secret {
		t.Error("the second click shows other login data")
	}
	if done.Header.Get("Cache-Control") != "private, no-store" {
		t.Error("the page with the secret may be cached")
	}
	if pdf := app.Get(flow + "/login-data.pdf"); pdf.Status != 200 || !strings.HasPrefix(pdf.Body, "%PDF") {
		t.Errorf("pdf: %d", pdf.Status)
	}
	if ans := app.Get(flow + "/5"); ans.Status != http.StatusConflict {
		t.Errorf("back to the form: %d", ans.Status)
	}
	// Typed once: wrong, then right.
	for _, typed := range []string{"", "ABC", PrintCode(newSecret())} {
		if ans := app.PostForm(flow+"/done", "secret", typed); ans.Status != 422 || !strings.Contains(ans.Body, html.EscapeString(typed)) {
			t.Errorf("typed %q: %d", typed, ans.Status)
		}
	}
	if ans := app.PostForm(flow+"/done", "secret", strings.ToLower(secret)); ans.Status != 303 || ans.Location != "/my-case" {
		t.Fatalf("typed right: %d %s", ans.Status, ans.Location)
	}
	// Never again, not even with the old cookie.
	for _, browser := range []*webtest.App{app, other} {
		if ans := browser.Get(flow + "/done"); ans.Status != http.StatusGone || strings.Contains(ans.Body, secret) {
			t.Errorf("shown again: %d", ans.Status)
		}
	}
	if ans := app.Get("/my-case"); ans.Status != 200 || !strings.Contains(ans.Body, "Erika Müller") || !strings.Contains(ans.Body, `href="/appointments"`) {
		t.Errorf("my case: %d", ans.Status)
	}
}

// A draft is worth nothing to another flow, changed, or when its time is over.
func TestDraftIsSealed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	open := true
	app := b.app(pass(&open))
	flow := strings.TrimSuffix(toStep(t, app, stepPrior), "/3")
	name := "reg-" + strings.TrimPrefix(flow, "/register/") + "-0"
	good := app.Cookie(name)
	if strings.Contains(good, "Erika") || len(good) > cookieChunk {
		t.Fatal("the draft is readable or too long")
	}
	stranger := app.Another()
	stranger.SetCookie("reg-AAAAAAAAAAAA-0", good)
	for path, browser := range map[string]*webtest.App{"/register/AAAAAAAAAAAA/3": stranger, flow + "/3": app.Another(), "/register/x/3": app} {
		if ans := browser.Get(path); ans.Status != http.StatusGone {
			t.Errorf("%s: %d", path, ans.Status)
		}
	}
	app.SetCookie(name, good[:40]+"A"+good[41:])
	if good[40] == 'A' {
		app.SetCookie(name, good[:40]+"B"+good[41:])
	}
	if ans := app.Get(flow + "/3"); ans.Status != http.StatusGone {
		t.Errorf("changed: %d", ans.Status)
	}
	app.SetCookie(name, good)
	if ans := app.Get(flow + "/9"); ans.Status != http.StatusNotFound {
		t.Errorf("step 9: %d", ans.Status)
	}
	b.set(opening.Add(draftIdle + time.Minute))
	if ans := app.Get(flow + "/3"); ans.Status != http.StatusGone || !strings.Contains(ans.Body, `href="/register"`) {
		t.Errorf("an hour later: %d", ans.Status)
	}
}

func TestLongNamesOfAnyScriptFitTheDraft(t *testing.T) {
	t.Parallel()
	b := setup(t)
	open := true
	app := b.app(pass(&open))
	flow := strings.TrimSuffix(toStep(t, app, stepPrior, "family_name", strings.Repeat("李", 100), "given_name", strings.Repeat("ꜳĕ", 50),
		"passport_family", strings.Repeat("ꜳ", 100), "passport_given", strings.Repeat("ǅꜳ", 50)), "/3")
	for step := stepPrior; step < stepCheck; step++ {
		if ans := app.PostForm(fmt.Sprintf("%s/%d", flow, step), fill(step)...); ans.Status != 303 {
			t.Fatalf("step %d: %d", step, ans.Status)
		}
	}
	if ans := app.PostForm(flow + "/finish"); ans.Status != 303 {
		t.Fatalf("finish: %d %s", ans.Status, ans.Body)
	}
	if ans := app.Get(flow + "/done"); !strings.Contains(ans.Body, strings.Repeat("李", 100)) {
		t.Error("the name is not on the page")
	}
}

// What cannot be is refused in the language of the page, with everything that
// was typed, and nothing is stored.
func TestBadInput(t *testing.T) {
	t.Parallel()
	b := setup(t)
	open := true
	for _, lang := range web.Languages {
		app := b.app(pass(&open))
		app.Lang = lang
		cases := []struct {
			step  int
			field string
			value string
			key   string
		}{
			{stepPerson, "family_name", "", "family_name_required"},
			{stepPerson, "family_name", strings.Repeat("Abcdefghij", 20), "too_long"},
			{stepPerson, "given_name", "Erika 😀🎉", "emoji"},
			{stepPerson, "family_name", `<script>alert("x")</script>`, "character"},
			{stepPerson, "family_name", `"><img src=x onerror=alert(1)>`, "character"},
			{stepPerson, "birth_day", "31", ""}, // 31 March: right
			{stepPerson, "birth_day", "32", "date_impossible"},
			{stepPerson, "birth_month", "13", "date_impossible"},
			{stepPerson, "birth_year", "38", "date_year"},
			{stepPerson, "birth_year", "2035", "date_future"},
			{stepPerson, "birth_year", "1800", "birth_too_old"},
			{stepPerson, "birth_year", "1960", "group_age"},
			{stepPerson, "sex", "x", "sex_required"},
			{stepPrior, "prior", "x", "prior_required"},
			{stepContact, "phone", "12", "phone"},
			{stepContact, "email", "erika@@example.org", "email"},
			{stepContact, "postcode", "123", "postcode"},
			{stepContact, "street", "Straße <b>1</b>", "character"},
			{stepContact, "city", "Leipzig", "address_incomplete_street"},
		}
		for _, c := range cases {
			path := toStep(t, app, c.step)
			kv := fill(c.step, c.field, c.value)
			ans := app.PostForm(path, kv...)
			if c.key == "" {
				if ans.Status != 303 {
					t.Errorf("%s %q: %d", c.field, c.value, ans.Status)
				}
				continue
			}
			if ans.Status != 422 {
				t.Errorf("%s %q: %d", c.field, c.value, ans.Status)
				continue
			}
			want := html.EscapeString(strings.SplitN(say(lang, "error."+c.key), "<no value>", 2)[0])
			if c.key == "too_long" {
				want = "200"
			}
			if !strings.Contains(ans.Body, want) || !strings.Contains(ans.Body, `<html lang="`+lang+`"`) {
				t.Errorf("%s %q: the page does not say %q", c.field, c.value, want)
			}
			for i := 0; i < len(kv); i += 2 {
				if v := html.EscapeString(kv[i+1]); kv[i+1] != "x" && !strings.Contains(ans.Body, strings.ReplaceAll(v, "+", "&#43;")) {
					t.Errorf("%s %q: the value %q of %s is lost", c.field, c.value, kv[i+1], kv[i])
				}
			}
			if strings.Contains(ans.Body, "<script>alert") || strings.Contains(ans.Body, "<img src=x") {
				t.Errorf("%q is not escaped", c.value)
			}
		}
	}
	if n := b.count(`SELECT (SELECT count(*) FROM citizen.person) + (SELECT count(*) FROM vault.key)`); n != 0 {
		t.Errorf("%d rows were stored", n)
	}
}

func TestOversizedBodies(t *testing.T) {
	t.Parallel()
	b := setup(t)
	open := true
	app := b.app(pass(&open))
	path := toStep(t, app, stepPerson)
	if ans := app.PostForm(path, fill(stepPerson, "family_name", strings.Repeat("a", 1<<20))...); ans.Status != 422 || !strings.Contains(ans.Body, "Höchstens 100") {
		t.Errorf("a megabyte of name: %d", ans.Status)
	}
	if ans := app.JSON(http.MethodPost, "/api/v1/registrations", map[string]any{"family_name": strings.Repeat("a", 1<<20)}, nil); ans.Status != 422 {
		t.Errorf("API: %d %.300s", ans.Status, ans.Body)
	}
	for _, body := range []string{"", "{", "[]", `{"unknown":1}`, `{"family_name":7}`, `null`} {
		ans := app.Do(http.MethodPost, "/api/v1/registrations", "application/json", strings.NewReader(body), nil)
		if ans.Status != 400 && ans.Status != 422 || !strings.Contains(ans.Header.Get("Content-Type"), "problem+json") {
			t.Errorf("body %q: %d %s", body, ans.Status, ans.Body)
		}
	}
}

// register walks a browser through a registration and returns all pages with
// what is drawn at random taken out.
func registerPages(t *testing.T, app *webtest.App, email string) (pages []string) {
	t.Helper()
	flow := strings.TrimSuffix(toStep(t, app, stepContact), "/4")
	see := func(ans webtest.Answer) {
		head := fmt.Sprintf("%d %s %s\n", ans.Status, ans.Location, ans.Header.Get("Cache-Control"))
		pages = append(pages, head+ans.Body)
	}
	see(app.PostForm(flow+"/4", fill(stepContact, "email", email)...))
	see(app.Get(flow + "/5"))
	see(app.PostForm(flow + "/finish"))
	done := app.Get(flow + "/done")
	see(done)
	number, secret := shown(t, done.Body)
	see(app.PostForm(flow+"/done", "secret", secret))
	for _, path := range []string{"/my-case", "/my-data", "/my-data/contact", "/my-data/delete"} {
		see(app.Get(path))
	}
	csrf := regexp.MustCompile(`name="_csrf" value="[^"]*"`)
	for i, p := range pages {
		p = strings.NewReplacer(flow, "FLOW", number, "NUMBER", secret, "SECRET", email, "EMAIL", html.EscapeString(email), "EMAIL").Replace(p)
		pages[i] = csrf.ReplaceAllString(p, "")
	}
	return pages
}

// Somebody who types another person's names and birth date sees exactly what
// somebody sees who registers for the first time.
func TestDuplicateLooksLikeANewRegistration(t *testing.T) {
	t.Parallel()
	b := setup(t)
	open := true
	first := registerPages(t, b.app(pass(&open)), "erika@example.org")
	second := registerPages(t, b.app(pass(&open)), "fremd@example.org")
	if b.persons(StateCheck) != 1 {
		t.Fatal("not noticed")
	}
	for i := range first {
		if first[i] != second[i] {
			t.Errorf("page %d differs:\n%s\n---\n%s", i, first[i], second[i])
		}
	}
	// The API as well.
	app := b.app(pass(&open))
	call := func(family string) (status int, keys string) {
		var out map[string]any
		ans := app.JSON(http.MethodPost, "/api/v1/registrations", apiErika(family), &out)
		return ans.Status, fmt.Sprint(len(out), len(fmt.Sprint(out["case_number"])), len(fmt.Sprint(out["secret"])), len(ans.Body))
	}
	newStatus, newKeys := call("Neumann")
	dupStatus, dupKeys := call("Mueller")
	if newStatus != 201 || newStatus != dupStatus || newKeys != dupKeys || b.persons(StateCheck) != 2 {
		t.Errorf("API: %d %s, %d %s", newStatus, newKeys, dupStatus, dupKeys)
	}
}

// A first and a second registration send the same statements.
func TestDuplicateDoesTheSameWork(t *testing.T) {
	t.Parallel()
	b := setup(t)
	work := func() string {
		var before, after [3]int
		read := func(to *[3]int) {
			to[0] = b.count(`SELECT count(*) FROM jobs.outbox`)
			to[1] = b.count(`SELECT count(*) FROM audit.entry`)
			to[2] = b.count(`SELECT count(*) FROM citizen.login`)
		}
		read(&before)
		b.register(erika())
		read(&after)
		return fmt.Sprint(after[0]-before[0], after[1]-before[1], after[2]-before[2])
	}
	if first, second := work(), work(); first != second {
		t.Errorf("rows written: %s, then %s", first, second)
	}
}

func TestLoginPage(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := b.register(erika())
	app := b.app(nil)
	if ans := app.Get("/my-data"); ans.Status != 303 || !strings.HasPrefix(ans.Location, "/login?to=") {
		t.Errorf("not logged in: %d %s", ans.Status, ans.Location)
	}
	// One answer for an unknown number and a wrong secret.
	clean := func(s string) string {
		s = regexp.MustCompile(`name="_csrf" value="[^"]*"`).ReplaceAllString(s, "")
		return regexp.MustCompile(`value="[0-9A-Z-]{12,}"`).ReplaceAllString(s, "")
	}
	wrong := app.PostForm("/login", "case_number", r.CaseNumber, "secret", PrintCode(newSecret()))
	unknown := app.PostForm("/login", "case_number", PrintCode(newCaseNumber()), "secret", PrintCode(newSecret()))
	if wrong.Status != 422 || clean(wrong.Body) != clean(unknown.Body) || wrong.Status != unknown.Status {
		t.Errorf("the answers differ: %d %d", wrong.Status, unknown.Status)
	}
	typo := app.PostForm("/login", "case_number", "7K2M-9QXD-KY", "secret", r.Secret)
	if typo.Status != 422 || !strings.Contains(typo.Body, "Tippfehler") || !strings.Contains(typo.Body, "7K2M-9QXD-KY") {
		t.Errorf("typo: %d", typo.Status)
	}
	for _, to := range []string{"https://evil.example", "//evil.example", "/my-data"} {
		browser := b.app(nil)
		ans := browser.PostForm("/login", "case_number", r.CaseNumber, "secret", r.Secret, "to", to)
		want := "/my-case"
		if to == "/my-data" {
			want = to
		}
		if ans.Status != 303 || ans.Location != want {
			t.Errorf("to %s: %d %s", to, ans.Status, ans.Location)
		}
		if data := browser.Get("/my-data"); data.Status != 200 || !strings.Contains(data.Body, "erika@example.org") || !strings.Contains(data.Body, "Registriert") {
			t.Errorf("my data: %d", data.Status)
		}
		if ans := browser.PostForm("/logout"); ans.Status != 303 {
			t.Errorf("logout: %d", ans.Status)
		}
		if ans := browser.Get("/my-data"); ans.Status != 303 {
			t.Errorf("after logout: %d", ans.Status)
		}
	}
}

func TestLoginIsLimited(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := b.register(erika())
	app := b.app(nil)
	last := 0
	for range 12 {
		last = app.PostForm("/login", "case_number", r.CaseNumber, "secret", PrintCode(newSecret())).Status
	}
	if last != http.StatusTooManyRequests {
		t.Errorf("the twelfth attempt: %d", last)
	}
	// Mistyped codes do not count, and other people are not concerned.
	in := erika()
	in.FamilyName = "Schulze"
	other := b.register(in)
	for range 30 {
		app.PostForm("/login", "case_number", other.CaseNumber, "secret", "ABC")
	}
	if ans := app.PostForm("/login", "case_number", other.CaseNumber, "secret", other.Secret); ans.Status != 303 {
		t.Errorf("another person: %d", ans.Status)
	}
	// Redis gone: nobody is shut out.
	b.limiter = redis_rate.NewLimiter(redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", MaxRetries: -1}))
	if ans := app.PostForm("/login", "case_number", r.CaseNumber, "secret", r.Secret); ans.Status != 303 {
		t.Errorf("without Redis: %d", ans.Status)
	}
}

func TestLostPageAnswersEverybodyTheSame(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := b.register(erika())
	app := b.app(nil)
	var answers []string
	for _, kv := range [][]string{
		{"case_number", r.CaseNumber},
		{"case_number", PrintCode(newCaseNumber())},
		{"family_name", "Mueller", "given_name", "Erika", "birth_day", "14", "birth_month", "3", "birth_year", "1938"},
		{"family_name", "Niemand", "given_name", "Nina", "birth_year", "1938"},
	} {
		ans := app.PostForm("/login/lost", kv...)
		answers = append(answers, fmt.Sprint(ans.Status, regexp.MustCompile(`name="_csrf" value="[^"]*"`).ReplaceAllString(ans.Body, "")))
	}
	for _, a := range answers[1:] {
		if a != answers[0] || !strings.HasPrefix(a, "200") {
			t.Errorf("the answers differ: %s", a)
		}
	}
	if n := b.count(`SELECT count(*) FROM citizen.lost_request`); n != 4 {
		t.Errorf("%d requests", n)
	}
	for _, kv := range [][]string{{"case_number", "7K2M-9QXD-KY"}, {"family_name", "Müller"}, {"family_name", "Müller 😀", "birth_year", "1938"}, {"family_name", "Müller", "birth_day", "30", "birth_month", "2", "birth_year", "1938"}} {
		if ans := app.PostForm("/login/lost", kv...); ans.Status != 422 || !strings.Contains(ans.Body, html.EscapeString(kv[1])) {
			t.Errorf("%v: %d", kv, ans.Status)
		}
	}
}

func TestOwnPages(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := b.register(erika())
	app := b.app(nil)
	app.LoginAs(user(r.Person))
	if ans := app.Get("/my-data/contact"); !strings.Contains(ans.Body, "erika@example.org") {
		t.Error("the contact is not filled in")
	}
	if ans := app.PostForm("/my-data/contact", "email", "kaputt", "city", "Leipzig", "country", "DE"); ans.Status != 422 || !strings.Contains(ans.Body, "kaputt") || !strings.Contains(ans.Body, "Leipzig") {
		t.Errorf("bad contact: %d", ans.Status)
	}
	if ans := app.PostForm("/my-data/contact", "email", "neu@example.org", "country", "DE", "lang", "en"); ans.Status != 303 {
		t.Errorf("contact: %d", ans.Status)
	}
	b.books(map[string]bool{r.Person.ID: true})
	if ans := app.Get("/my-data/delete"); !strings.Contains(ans.Body, "noch einen Termin") {
		t.Error("it is not said what happens")
	}
	if ans := app.PostForm("/my-data/delete", "sure", "1"); ans.Status != http.StatusConflict {
		t.Errorf("delete with an appointment: %d", ans.Status)
	}
	b.books(nil)
	if ans := app.PostForm("/my-data/delete"); ans.Status != 422 {
		t.Errorf("not sure: %d", ans.Status)
	}
	if ans := app.PostForm("/my-data/delete", "sure", "1"); ans.Status != 200 || !strings.Contains(ans.Body, "gelöscht") {
		t.Errorf("delete: %d", ans.Status)
	}
	if ans := app.Get("/my-case"); ans.Status != 303 {
		t.Errorf("after deleting: %d", ans.Status)
	}
}

func TestStartPage(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for lang, want := range map[string]string{"de": "Personen ab 80 Jahren", "en": "People aged 80 and over"} {
		app := b.app(nil)
		app.Lang = lang
		if ans := app.Get("/"); ans.Status != 200 || !strings.Contains(ans.Body, want) || !strings.Contains(ans.Body, "0800") || strings.Contains(ans.Body, "citizen.") {
			t.Errorf("%s: %d %s", lang, ans.Status, ans.Body)
		}
	}
}

func apiErika(family string) map[string]any {
	return map[string]any{
		"programme": "covid-19", "group": "s2-age", "proof_ready": true, "family_name": family, "given_name": "Erika", "birth": "1938-03-14",
		"sex": "female", "email": "erika@example.org", "lang": "de",
	}
}

func TestAPI(t *testing.T) {
	t.Parallel()
	b := setup(t)
	app := b.app(nil)
	var reg apiRegistered
	in := apiErika("Müller")
	in["address"] = map[string]any{"street": "Am Markt 1", "postcode": "04109", "city": "Leipzig"}
	in["prior"] = map[string]any{"kind": "recovery", "date": "2020-11-01", "proof": "laboratory"}
	if ans := app.JSON(http.MethodPost, "/api/v1/registrations", in, &reg); ans.Status != 201 {
		t.Fatalf("register: %d %s", ans.Status, ans.Body)
	}
	in["birth"], in["address"], in["prior"] = "1938-02-30", map[string]any{"postcode": "1"}, map[string]any{"kind": "dose", "date": "x", "proof": "pass"}
	if ans := app.JSON(http.MethodPost, "/api/v1/registrations", in, nil); ans.Status != 422 || !strings.Contains(ans.Body, `"birth"`) {
		t.Errorf("bad dates: %d %s", ans.Status, ans.Body)
	}
	in["birth"], in["prior"] = "1938-02-28", nil
	if ans := app.JSON(http.MethodPost, "/api/v1/registrations", in, nil); ans.Status != 422 || !strings.Contains(ans.Body, `"address.postcode"`) {
		t.Errorf("bad postcode: %d %s", ans.Status, ans.Body)
	}
	if ans := app.JSON(http.MethodPost, "/api/v1/sessions", apiCredentials{reg.CaseNumber, newSecret()}, nil); ans.Status != 401 {
		t.Errorf("wrong secret: %d %s", ans.Status, ans.Body)
	}
	if ans := app.JSON(http.MethodPost, "/api/v1/sessions", apiCredentials{"7K2M-9QXD-KY", newSecret()}, nil); ans.Status != 422 {
		t.Errorf("typo: %d %s", ans.Status, ans.Body)
	}
	if ans := app.JSON(http.MethodGet, "/api/v1/me", nil, nil); ans.Status != 401 {
		t.Errorf("me without login: %d", ans.Status)
	}
	var s apiSession
	if ans := app.JSON(http.MethodPost, "/api/v1/sessions", apiCredentials(reg), &s); ans.Status != 201 || s.Token == "" {
		t.Fatalf("login: %d %s", ans.Status, ans.Body)
	}
	app = app.Another()
	app.Bearer(s.Token)
	var me apiPerson
	if ans := app.JSON(http.MethodGet, "/api/v1/me", nil, &me); ans.Status != 200 || me.FamilyName != "Müller" || me.Prior == nil || me.Prior.Date != "2020-11-01" {
		t.Errorf("me: %d %+v", ans.Status, me)
	}
	if ans := app.JSON(http.MethodPatch, "/api/v1/me", map[string]any{"email": "neu@example.org"}, &me); ans.Status != 200 || me.Email != "neu@example.org" || me.Address.City != "Leipzig" {
		t.Errorf("change: %d %s", ans.Status, ans.Body)
	}
	if ans := app.JSON(http.MethodPatch, "/api/v1/me", map[string]any{"address": map[string]any{"city": "Leipzig"}}, nil); ans.Status != 422 || !strings.Contains(ans.Body, "address.street") {
		t.Errorf("bad change: %d %s", ans.Status, ans.Body)
	}
	for _, q := range []map[string]any{{"case_number": reg.CaseNumber}, {"case_number": PrintCode(newCaseNumber())}, {"family_name": "Niemand", "birth": "1950"}} {
		if ans := app.JSON(http.MethodPost, "/api/v1/login-data/lost", q, nil); ans.Status != 202 {
			t.Errorf("lost: %d %s", ans.Status, ans.Body)
		}
	}
	if ans := app.JSON(http.MethodPost, "/api/v1/login-data/lost", map[string]any{"case_number": "7K2M-9QXD-KY"}, nil); ans.Status != 422 {
		t.Errorf("lost with a typo: %d", ans.Status)
	}
	if ans := app.JSON(http.MethodDelete, "/api/v1/me", nil, nil); ans.Status != 204 {
		t.Errorf("delete: %d %s", ans.Status, ans.Body)
	}
	if ans := app.JSON(http.MethodGet, "/api/v1/me", nil, nil); ans.Status != 401 {
		t.Errorf("me after deleting: %d", ans.Status)
	}
	if _, err := b.Login(context.Background(), reg.CaseNumber, reg.Secret); err == nil {
		t.Error("login after deleting")
	}
}

// A place in the line is good for a family, not for a list of names.
func TestRegistrationsWithOnePass(t *testing.T) {
	t.Parallel()
	b := setup(t)
	pass := "registration.1.0.7"
	b.Pass = func(*web.Ctx) string { return pass }
	app := b.app(nil)
	if ans := app.PostForm("/register"); ans.Status != 422 {
		t.Fatalf("nothing typed: %d", ans.Status)
	}
	for i := range limitPass.Burst {
		if ans := app.PostForm("/register", fill(stepGroup)...); ans.Status != 303 {
			t.Fatalf("%d: %d %s", i, ans.Status, ans.Body)
		}
	}
	if ans := app.PostForm("/register", fill(stepGroup)...); ans.Status != http.StatusTooManyRequests || !strings.Contains(ans.Body, "höchstens 10 Personen") {
		t.Errorf("one more: %d %s", ans.Status, ans.Body)
	}
	before := b.persons(StateActive)
	if ans := app.JSON("POST", "/api/v1/registrations", map[string]any{
		"programme": "covid-19", "group": "s2-age", "proof_ready": true, "family_name": "Muster",
		"given_name": "Max", "birth": "1938-03-14", "sex": "male", "email": "max@example.org",
	}, nil); ans.Status != http.StatusTooManyRequests || b.persons(StateActive) != before {
		t.Errorf("over the API: %d %s", ans.Status, ans.Body)
	}
	pass = "registration.1.0.8"
	if ans := app.PostForm("/register", fill(stepGroup)...); ans.Status != 303 {
		t.Errorf("with another pass: %d", ans.Status)
	}
}
