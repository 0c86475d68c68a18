package booking

import (
	"context"
	"embed"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/citizen"
	"impfportal/internal/pdf"
	"impfportal/internal/pg"
	"impfportal/internal/web"
	"impfportal/notify"
)

//go:embed all:templates i18n
var files embed.FS

// Assets are the pages and texts of this slice.
var Assets = web.Bundle{Name: "booking", FS: files}

// texts are those of this bundle for the worker and for papers, which have no
// request to take a language from.
var texts = web.LoadTexts(Assets)

// say returns a text in a person's language; args alternate name and value.
func say(lang, key string, args ...any) string { return texts.Say(lang, "booking."+key, args...) }

// tellConfirmed sends the confirmation, exactly once: the mark and the
// messages are one transaction. It runs in the worker, so that nobody waits for
// a PDF while a place is held.
func (s *Service) tellConfirmed(ctx context.Context, seriesID string) error {
	return pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `UPDATE booking.series SET told_at = $2 WHERE id = $1 AND state = 'confirmed' AND told_at IS NULL`, seriesID, s.Now())
		if err != nil || tag.RowsAffected() == 0 {
			return err // told already, or cancelled meanwhile
		}
		return s.tell(ctx, tx, seriesID, "booking.confirmed", "message.confirmed", true)
	})
}

// tellCancelled confirms a cancellation, exactly once.
func (s *Service) tellCancelled(ctx context.Context, seriesID string) error {
	return pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `UPDATE booking.series SET cancel_told_at = $2 WHERE id = $1 AND cancel_told_at IS NULL`, seriesID, s.Now())
		if err != nil || tag.RowsAffected() == 0 {
			return err
		}
		return s.tell(ctx, tx, seriesID, "booking.cancelled", "message.cancelled", false)
	})
}

// tellChanged sends the confirmation anew, once for the newest change.
func (s *Service) tellChanged(ctx context.Context, seriesID string) error {
	return s.tellRevision(ctx, seriesID, "booking.changed", "message.changed")
}

func (s *Service) tellRevision(ctx context.Context, seriesID, kind, key string) error {
	return pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		// Who was not told of the booking yet is told of it as it is now.
		tag, err := tx.Exec(ctx, `
			UPDATE booking.series SET told_revision = revision, told_at = coalesce(told_at, $2)
			WHERE id = $1 AND state = 'confirmed' AND told_revision < revision`, seriesID, s.Now())
		if err != nil || tag.RowsAffected() == 0 {
			return err
		}
		return s.tell(ctx, tx, seriesID, kind, key, true)
	})
}

// byPostOnly tells whether a letter is all that can reach somebody.
func byPostOnly(to notify.Recipient) bool { return to.Email == "" && !notify.CanText(to.Phone) }

// tell sends a message about a series. Who was booked by the hotline gets the
// first papers from there by post: then only e-mail and SMS go from here.
func (s *Service) tell(ctx context.Context, tx pgx.Tx, seriesID, kind, key string, attach bool) error {
	series, err := seriesByID(ctx, tx, seriesID)
	if err != nil {
		return err
	}
	person, err := s.Citizens.Person(ctx, tx, series.PersonID)
	if errors.Is(err, citizen.ErrNotFound) {
		return nil // deleted meanwhile
	}
	if err != nil {
		return err
	}
	to := s.Citizens.Recipient(person)
	if series.Channel == Hotline && kind == "booking.confirmed" && series.Role != "system" { // an offer that was accepted is told from here
		to.Postal = nil
		if byPostOnly(to) {
			return nil
		}
	}
	p, err := s.paperOf(ctx, tx, *series, person, person.Lang)
	if err != nil {
		return err
	}
	now, visits := s.Now(), series.Visits()
	if !attach { // what was given back
		visits = slices.DeleteFunc(slices.Clone(series.Appointments), func(a Appointment) bool { return a.State != StateCancelled })
	}
	args := []any{
		"Dates", p.dates(visits, "\n", web.FormatDateTime), "Short", p.dates(visits, ", ", shortDate), "Where", p.Where(), "City", p.Centre.City,
		"Reference", PrintReference(series.Reference), "URL", s.BaseURL + "/appointments", "Phone", s.Hotline, "Vaccine", p.Product.Name,
		"Bring", "- " + strings.Join(p.Bring(), "\n- "),
	}
	m := notify.Message{Kind: kind, Subject: say(person.Lang, key+".subject", args...), Text: say(person.Lang, key+".text", args...), SMS: say(person.Lang, key+".sms", args...)}
	if attach {
		sheet, err := p.sheet(s.Notify.Sender(), now)
		if err != nil {
			return err
		}
		m.Attachments = []notify.Attachment{
			{Name: say(person.Lang, "paper.file") + ".pdf", ContentType: "application/pdf", Body: sheet},
			{Name: say(person.Lang, "paper.file") + ".ics", ContentType: "text/calendar; charset=utf-8", Body: []byte(p.calendar(now))},
		}
		if to.Postal != nil && byPostOnly(to) {
			blocks := p.blocks()
			if kind == moved.Name() { // on paper, too, it says why and what to do
				blocks = append(pdf.Texts(say(person.Lang, key+".letter", args...)), blocks...)
			}
			m.Letter, err = pdf.Letter(pdf.LetterSpec{
				Lang: person.Lang, Created: now, Sender: s.Notify.Sender(), Recipient: to.Postal.Lines(),
				Date: web.FormatDate(person.Lang, now), Subject: m.Subject, Blocks: blocks,
			})
			if err != nil && !errors.Is(err, pdf.ErrAddress) { // an address too long for the window fails where staff see it
				return err
			}
		}
	}
	return s.Notify.Send(ctx, tx, to, m)
}

// dates lists appointments with their doses.
func (p paper) dates(list []Appointment, sep string, format func(lang string, t time.Time) string) string {
	var parts []string
	for _, a := range list {
		parts = append(parts, p.DoseLabel(a)+": "+format(p.Lang, a.Start))
	}
	return strings.Join(parts, sep)
}

// shortDate fits an SMS: "Mo., 18.01.2021, 08:15 Uhr".
func shortDate(lang string, t time.Time) string {
	return web.FormatDayShort(lang, t) + ", " + web.FormatClock(lang, t)
}
