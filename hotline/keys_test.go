package hotline_test

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"impfportal/booking"
)

var (
	closedPart = regexp.MustCompile(`(?s)<details(?: class="[^"]*")?><summary.*?</summary>(.*?)</details>`)
	keyed      = regexp.MustCompile(`accesskey="(.)"`)
	focusable  = regexp.MustCompile(`<(?:a |button|select|textarea|summary|input (?:[^>]*type="(?:text|radio|checkbox)"))`)
)

// keysOf checks the keys of a page: each belongs to one thing, stands beside it, and
// works, which it does not in a closed section.
func (b *bundle) keysOf(path string) (body string) {
	b.t.Helper()
	a := b.app.Get(path)
	if a.Status != 200 {
		b.t.Fatalf("%s: %d", path, a.Status)
	}
	var seen []string
	for _, m := range keyed.FindAllStringSubmatch(a.Body, -1) {
		if slices.Contains(seen, m[1]) {
			b.t.Errorf("%s: two things have the key %s", path, m[1])
		}
		seen = append(seen, m[1])
		if !strings.Contains(strings.ToLower(a.Body), `<kbd class="key">`+m[1]+`</kbd>`) {
			b.t.Errorf("%s: the key %s is not shown", path, m[1])
		}
	}
	for _, part := range closedPart.FindAllStringSubmatch(a.Body, -1) {
		if k := keyed.FindString(part[1]); k != "" {
			b.t.Errorf("%s: %s is in a closed section", path, k)
		}
	}
	return a.Body
}

// A caller is on the line: every page can be worked with the keyboard, and the times
// to read out are near.
func TestTheDeskByKeyboard(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.stock("leipzig", 200, 50)
	personID, _ := b.register()
	base := "/hotline/persons/" + personID
	for _, path := range []string{"/hotline", "/hotline/register", "/hotline/letters", "/hotline/checks", base} {
		b.keysOf(path)
	}
	near := func(path string) {
		t.Helper()
		body := b.keysOf(path)
		if n := strings.Count(body, " autofocus"); n != 1 || !regexp.MustCompile(`id="offer-0"[^>]*accesskey="1" autofocus`).MatchString(body) {
			t.Errorf("%s: the first time has no focus (%d have)", path, n)
		}
		main := body[strings.Index(body, `<main`):]
		before := main[:strings.Index(main, `id="offer-0"`)]
		if n := len(focusable.FindAllString(before, -1)) + 2; n > 8 { // the skip link, and Enter on it
			t.Errorf("%s: %d presses to the first time", path, n)
		}
	}
	near(base + "/book?centre=leipzig")
	body := b.keysOf(base + "/book?centre=leipzig")
	days := regexp.MustCompile(`<option value="(2021-[0-9-]+)"`).FindAllStringSubmatch(body, -1)
	if len(days) == 0 {
		t.Fatal("no day to choose")
	}
	last := days[len(days)-1][1]
	if body = b.keysOf(base + "/book?centre=leipzig&day=" + last); !strings.Contains(body, `<option value="`+last+`" selected`) {
		t.Error("the day that was chosen is not shown")
	}
	series, err := b.Book(b.ctx, personID, b.slots(personID), "", "k", b.by)
	b.ok(err)
	if len(series.Appointments) != 2 {
		t.Fatal(len(series.Appointments))
	}
	for _, what := range []string{"1", "2", booking.ChangeAll} {
		near(base + "/change?what=" + what)
	}
	if body = b.keysOf(base); strings.Count(body, `action="`+base+`/cancel"`) != 1 || !strings.Contains(body, `name="sure" value="1" accesskey="t"`) {
		t.Error("cancelling has no key")
	}
	body = b.app.Get(base + "/change?what=2").Body
	for i := range 9 {
		if !strings.Contains(body, `accesskey="`+strconv.Itoa(i+1)+`"`) {
			t.Errorf("the time %d has no key", i+1)
		}
	}
}

// Enter leads from the search to the one who was found; of several, each has a key. A
// dose is numbered once.
func TestTheSearchLeadsOnByKeyboard(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.stock("leipzig", 200, 50)
	one, _ := b.register("family_name", "Einzel", "given_name", "Eva")
	found := func() string {
		t.Helper()
		a := b.app.PostForm("/hotline/search", "family_name", "Einzel", "postcode", "02625")
		if a.Status != 200 {
			t.Fatalf("%d %s", a.Status, a.Body)
		}
		return a.Body
	}
	body := found()
	if strings.Count(body, " autofocus") != 1 || !strings.Contains(body, `href="/hotline/persons/`+one+`" accesskey="1" autofocus>`) || !strings.Contains(body, `<kbd class="key">1</kbd>`) {
		t.Error("the one who was found has neither focus nor key")
	}
	b.register("family_name", "Einzel", "given_name", "Franz", "birth_year", "1936")
	body = found()
	if strings.Contains(body, " autofocus") || !strings.Contains(body, `accesskey="1">`) || !strings.Contains(body, `accesskey="2">`) || strings.Contains(body, `accesskey="3"`) {
		t.Error("those who were found have no keys")
	}
	_, err := b.Book(b.ctx, one, b.slots(one), "", "k", b.by)
	b.ok(err)
	for _, path := range []string{"/hotline/persons/" + one, "/hotline/persons/" + one + "/change"} {
		if body := b.app.Get(path).Body; strings.Contains(body, "kern-list--number") || !strings.Contains(body, "<li><strong>1. Impfung</strong>") {
			t.Errorf("%s: the doses are numbered twice", path)
		}
	}
}
