package certificate

import (
	"fmt"

	"impfportal/certificate/dcc"
	"impfportal/internal/pdf"
	"impfportal/internal/qr"
)

// printedSide is the side of the printed QR code in mm without its quiet
// zone: 58 mm across, within the 35 to 60 mm that scanners expect.
const printedSide = 41.0

// PDF is the certificate on one A4 page in German and English. lang is the
// language that the document declares.
func (s *Service) PDF(c Certificate, lang string) ([]byte, error) {
	if !c.Ready() {
		return nil, fmt.Errorf("certificate %s is not ready", c.ID)
	}
	code, err := qr.Encode(c.HC1, qr.Q)
	if err != nil {
		return nil, err
	}
	e, codes, n := c.Entry(), c.Codes(), c.Payload.Name
	both := func(key string) string { return say("de", key) + " / " + say("en", key) }
	row := func(key, value string) pdf.Pair {
		if value == "" {
			value = "–"
		}
		return pdf.Pair{Key: both("pdf." + key), Value: value}
	}
	spec := pdf.SheetSpec{
		Lang: lang, Created: c.IssuedAt,
		Issuer:   []string{e.Issuer},
		Title:    say("de", "pdf.title"),
		Subtitle: say("en", "pdf.title"),
		Blocks: []pdf.Block{
			pdf.Columns{
				LeftShare: 0.36,
				Left: []pdf.Block{pdf.QR{
					Text: c.HC1, Level: qr.Q,
					Size: printedSide * float64(code.Size()+2*qr.QuietZone) / float64(code.Size()),
				}},
				Right: []pdf.Block{
					pdf.Pairs{KeyWidth: 42, Rows: []pdf.Pair{
						row("family", n.Family), row("given", n.Given), row("birth", c.Payload.Birth),
						row("dose", fmt.Sprintf("%d / %d", e.Dose, e.Doses)), row("date", e.Date),
					}},
				},
			},
			pdf.Gap{Height: 6},
			pdf.Pairs{KeyWidth: 74, Rows: []pdf.Pair{
				row("disease", "COVID-19 ("+e.Disease+")"),
				row("prophylaxis", codes.ProphylaxisName+" ("+e.Prophylaxis+")"),
				row("product", codes.ProductName+" ("+e.Product+")"),
				row("holder", codes.HolderName+" ("+e.Holder+")"),
				row("country", e.Country),
				row("issuer", e.Issuer),
				row("id", e.ID),
				row("std", n.FamilyStd+"<<"+n.GivenStd),
				row("issued", day(c.IssuedAt)),
				row("expires", day(c.ExpiresAt)),
			}},
			pdf.Gap{Height: 3},
			pdf.Paragraph{Text: say("de", "pdf.notice"), Small: true},
			pdf.Paragraph{Text: say("en", "pdf.notice"), Small: true},
		},
	}
	if !s.Production {
		spec.Mark = dcc.Muster
		spec.Blocks = append([]pdf.Block{pdf.Note{Title: dcc.Muster, Text: say("de", "muster.text") + " " + say("en", "muster.text")}}, spec.Blocks...)
	}
	return pdf.Sheet(spec)
}
