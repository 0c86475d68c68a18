package booking

import (
	"context"
	"errors"
	"fmt"
	"time"

	ics "github.com/arran4/golang-ical"

	"impfportal/centre"
	"impfportal/citizen"
	"impfportal/internal/clock"
	"impfportal/internal/pdf"
	"impfportal/internal/pg"
	"impfportal/internal/qr"
	"impfportal/internal/web"
	"impfportal/programme"
)

// visitLength is how long a visit takes with arrival and the time under
// observation (Nachbeobachtung); calendars show it.
const visitLength = time.Hour

// paper is everything that a confirmation says.
type paper struct {
	Series  Series
	Person  citizen.Person
	Centre  centre.Centre
	Product programme.Product
	Proof   string // what proves the priority group, in words
	Lang    string
	BaseURL string
	Hotline string
}

// paperOf gathers what a confirmation says, in the language lang.
func (s *Service) paperOf(ctx context.Context, q pg.Querier, series Series, person citizen.Person, lang string) (paper, error) {
	p := paper{Series: series, Person: person, Lang: lang, BaseURL: s.BaseURL, Hotline: s.Hotline}
	var err error
	if p.Centre, err = centre.Get(ctx, q, series.CentreID); err != nil {
		return p, err
	}
	if p.Product, err = programme.ProductByID(ctx, q, series.ProductID); err != nil {
		return p, err
	}
	group, err := programme.GroupByCode(ctx, q, person.ProgrammeID, person.GroupCode, s.Now(), lang)
	if err != nil && !errors.Is(err, programme.ErrNotFound) {
		return p, err
	}
	p.Proof = group.Proof
	return p, nil
}

// Where is the centre's address in one line.
func (p paper) Where() string {
	return fmt.Sprintf("%s, %s, %s %s", p.Centre.Name, p.Centre.Street, p.Centre.Postcode, p.Centre.City)
}

// Bring lists what to bring along.
func (p paper) Bring() []string {
	list := []string{p.Proof, say(p.Lang, "paper.bring_confirmation"), say(p.Lang, "paper.bring_record"), say(p.Lang, "paper.bring_mask")}
	if p.Proof == "" {
		list = list[1:]
	}
	return list
}

// DoseLabel is "1. Impfung" for an appointment.
func (p paper) DoseLabel(a Appointment) string {
	return say(p.Lang, "dose", "Number", fmt.Sprint(a.DoseNumber))
}

// blocks are the confirmation's body, for the sheet and for letters.
func (p paper) blocks() []pdf.Block {
	var rows []pdf.Pair
	for _, a := range p.Series.Visits() {
		rows = append(rows, pdf.Pair{Key: p.DoseLabel(a), Value: web.FormatDateTime(p.Lang, a.Start)})
	}
	rows = append(rows,
		pdf.Pair{Key: say(p.Lang, "paper.where"), Value: fmt.Sprintf("%s\n%s\n%s %s", p.Centre.Name, p.Centre.Street, p.Centre.Postcode, p.Centre.City)},
		pdf.Pair{Key: say(p.Lang, "paper.vaccine"), Value: p.Product.Name},
	)
	if p.Series.Waived != "" {
		rows = append(rows, pdf.Pair{Key: say(p.Lang, "waive.rest"), Value: say(p.Lang, "waive."+p.Series.Waived)})
	}
	rows = append(rows,
		pdf.Pair{Key: say(p.Lang, "paper.reference"), Value: PrintReference(p.Series.Reference)},
	)
	return []pdf.Block{
		pdf.Columns{
			LeftShare: 0.72,
			Left:      []pdf.Block{pdf.Pairs{Rows: rows, KeyWidth: 38}},
			Right:     []pdf.Block{pdf.QR{Text: QRText(p.Series.Reference), Level: qr.M, Size: 38, Align: "R", Caption: say(p.Lang, "paper.qr")}},
		},
		pdf.Heading{Text: say(p.Lang, "paper.bring")},
		pdf.List{Items: p.Bring()},
		pdf.Note{Title: say(p.Lang, "paper.cancel_title"), Text: say(p.Lang, "paper.cancel", "URL", p.BaseURL+"/appointments", "Phone", p.Hotline)},
	}
}

// PaperBlocks are the appointments of a series as a letter or sheet shows
// them: dates, place, reference with QR code, what to bring.
func (s *Service) PaperBlocks(ctx context.Context, q pg.Querier, series Series, person citizen.Person, lang string) ([]pdf.Block, error) {
	p, err := s.paperOf(ctx, q, series, person, lang)
	if err != nil {
		return nil, err
	}
	return p.blocks(), nil
}

// sheet is the confirmation as PDF.
func (p paper) sheet(issuer []string, now time.Time) ([]byte, error) {
	return pdf.Sheet(pdf.SheetSpec{
		Lang: p.Lang, Created: now, Issuer: issuer, Title: say(p.Lang, "paper.title"), Subtitle: p.Person.FullName(),
		Blocks: p.blocks(), Footer: []string{web.FormatDateTime(p.Lang, now)},
	})
}

// calendar is the confirmation as iCalendar (RFC 5545): times in Berlin with
// their rules, CRLF, one event per appointment that is open. The same series
// has the same UIDs, so importing it twice changes nothing. No names: calendars
// are shared.
func (p paper) calendar(now time.Time) string {
	cal := ics.NewCalendarFor("Impfportal")
	cal.SetMethod(ics.MethodPublish)
	zone := cal.AddTimezone("Europe/Berlin")
	zone.Components = append(zone.Components,
		&ics.Daylight{ComponentBase: zoneRule("19700329T020000", "FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU", "+0100", "+0200", "CEST")},
		&ics.Standard{ComponentBase: zoneRule("19701025T030000", "FREQ=YEARLY;BYMONTH=10;BYDAY=-1SU", "+0200", "+0100", "CET")})
	const wall = "20060102T150405"
	for _, a := range p.Series.Appointments {
		if !a.Open() {
			continue
		}
		e := cal.AddEvent(a.ID + "@impfportal")
		e.SetDtStampTime(now)
		e.SetSequence(p.Series.Revision) // a calendar that knows the event moves it
		e.SetProperty(ics.ComponentPropertyDtStart, a.Start.In(clock.Berlin).Format(wall), ics.WithTZID("Europe/Berlin"))
		e.SetProperty(ics.ComponentPropertyDtEnd, a.Start.Add(visitLength).In(clock.Berlin).Format(wall), ics.WithTZID("Europe/Berlin"))
		e.SetSummary(say(p.Lang, "calendar.summary", "Dose", p.DoseLabel(a)))
		e.SetLocation(p.Where())
		e.SetDescription(say(p.Lang, "calendar.text", "Reference", PrintReference(p.Series.Reference), "URL", p.BaseURL+"/appointments"))
		if p.BaseURL != "" {
			e.SetURL(p.BaseURL + "/appointments")
		}
	}
	return cal.Serialize(ics.WithNewLineWindows)
}

func zoneRule(start, rule, from, to, name string) ics.ComponentBase {
	var b ics.ComponentBase
	b.SetProperty(ics.ComponentPropertyDtStart, start)
	b.SetProperty(ics.ComponentPropertyRrule, rule)
	b.SetProperty(ics.ComponentProperty(ics.PropertyTzoffsetfrom), from)
	b.SetProperty(ics.ComponentProperty(ics.PropertyTzoffsetto), to)
	b.SetProperty(ics.ComponentProperty(ics.PropertyTzname), name)
	return b
}
