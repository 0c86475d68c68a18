package booking

import (
	"strings"
	"testing"

	"impfportal/internal/web"

	"github.com/jackc/pgx/v5"

	"impfportal/citizen"
	"impfportal/internal/jobs"
	"impfportal/internal/pg"
	"impfportal/inventory"
)

func TestPersonIsToldOnce(t *testing.T) {
	t.Parallel()
	b, list := small(t)
	p := b.person()
	s, err := b.s.Hold(b.ctx, HoldRequest{PersonID: p.ID, Channel: Web, SlotIDs: list[0].SlotIDs(), Key: "k"})
	b.ok(err)
	_, err = b.s.Confirm(b.ctx, s.ID, p.ID, "")
	b.ok(err)
	for range 2 {
		b.ok(b.s.tellConfirmed(b.ctx, s.ID))
	}
	if n := b.count(`SELECT count(*) FROM notify.message WHERE kind = 'booking.confirmed' AND channel = 'email'`); n != 1 {
		t.Errorf("%d confirmations", n)
	}
	b.ok(b.s.Cancel(b.ctx, s.ID, p.ID, "citizen:"+p.ID))
	for range 2 {
		b.ok(b.s.tellCancelled(b.ctx, s.ID))
	}
	if n := b.count(`SELECT count(*) FROM notify.message WHERE kind = 'booking.cancelled'`); n != 1 {
		t.Errorf("%d cancellations", n)
	}
	// A hold that is given back is no message.
	s, err = b.s.Hold(b.ctx, HoldRequest{PersonID: p.ID, Channel: Web, SlotIDs: list[0].SlotIDs(), Key: "k2"})
	b.ok(err)
	b.ok(b.s.Cancel(b.ctx, s.ID, p.ID, "citizen:"+p.ID))
	if n := b.count(`SELECT count(*) FROM jobs.outbox WHERE kind = 'booking.cancelled'`); n != 1 {
		t.Errorf("%d tasks", n)
	}
}

func TestPostOnlyPeopleGetALetter(t *testing.T) {
	t.Parallel()
	b, list := small(t)
	p := b.person(func(r *citizen.Registration) { r.Email = "" })
	s, err := b.s.Hold(b.ctx, HoldRequest{PersonID: p.ID, Channel: Web, SlotIDs: list[0].SlotIDs(), Key: "k"})
	b.ok(err)
	_, err = b.s.Confirm(b.ctx, s.ID, p.ID, "")
	b.ok(err)
	b.ok(b.s.tellConfirmed(b.ctx, s.ID))
	if n := b.count(`SELECT count(*) FROM notify.message WHERE kind = 'booking.confirmed' AND channel = 'letter' AND state = 'queued'`); n != 1 {
		t.Errorf("%d letters", n)
	}
}

func TestPaper(t *testing.T) {
	t.Parallel()
	b, list := small(t)
	p := b.person()
	s, err := b.s.Hold(b.ctx, HoldRequest{PersonID: p.ID, Channel: Web, SlotIDs: list[0].SlotIDs(), Key: "k"})
	b.ok(err)
	for _, lang := range []string{"de", "en"} {
		paper, err := b.s.paperOf(b.ctx, b.pool, s, p, lang)
		b.ok(err)
		body, err := paper.sheet([]string{"Impfportal"}, b.now())
		b.ok(err)
		if !strings.HasPrefix(string(body), "%PDF-") {
			t.Errorf("%s: %.10q", lang, body)
		}
		cal := paper.calendar(b.now())
		checkCalendar(t, cal, 2)
		if strings.Contains(cal, p.FamilyName) {
			t.Error("a name in the calendar file")
		}
	}
	found, err := SeriesByReference(b.ctx, b.pool, QRText(s.Reference))
	b.ok(err)
	if found.ID != s.ID {
		t.Error("the QR code leads elsewhere")
	}
}

// No SMS has a placeholder that nobody fills, and each fits into two parts.
func TestMessageTexts(t *testing.T) {
	t.Parallel()
	for _, lang := range web.Languages {
		for _, kind := range []string{"confirmed", "cancelled"} {
			sms := say(lang, "message."+kind+".sms", "Short", "1. Impfung: Mo., 11.01.2021, 15:00 Uhr, 2. Impfung: Mo., 01.02.2021, 15:00 Uhr", "City", "Annaberg-Buchholz",
				"Reference", "K7M4-P2Q-XRA", "URL", "https://impfportal.example/appointments", "Phone", "0800 0899 089")
			if strings.Contains(sms, "<no value>") || len([]rune(sms)) > 306 {
				t.Errorf("%s %s: %d characters: %s", lang, kind, len([]rune(sms)), sms)
			}
		}
	}
}

func TestStockChangesArePlanned(t *testing.T) {
	t.Parallel()
	b := setup(t)
	m := jobs.NewMux()
	periodic := b.s.Jobs(m)
	if len(periodic) == 0 || len(m.Kinds()) < 4 {
		t.Errorf("%d schedules, kinds %v", len(periodic), m.Kinds())
	}
	b.webOnly(leipzig)
	b.stock(leipzig, comirnaty, 4)
	b.ok(pg.InTx(b.ctx, b.pool, func(tx pgx.Tx) error {
		return b.s.wantCentre(b.ctx, tx, inventory.CentrePlace(leipzig).CentreID())
	}))
	b.ok(b.s.ReplanWanted(b.ctx))
	if n := b.pairs(leipzig, comirnaty); n != 10 {
		t.Errorf("%d pairs", n)
	}
	if n := b.count(`SELECT count(*) FROM booking.plan WHERE wanted > made`); n != 0 {
		t.Errorf("%d wishes left", n)
	}
	for _, p := range periodic {
		if err := p.Run(b.ctx, b.now()); err != nil {
			t.Errorf("%s: %v", p.Name, err)
		}
	}
}
