package certificate

import (
	"fmt"
	"sync"

	"impfportal/certificate/dcc"
	"impfportal/internal/pdf"
	"impfportal/internal/qr"
)

// printedSide is the side of the printed QR code in mm without its quiet
// zone: 58 mm across, within the 35 to 60 mm that scanners expect. printedBox
// leaves four light modules around it, as large as they are.
const printedSide, printedBox = 41.0, 48.0

// The page is folded to A6 twice, backwards: the panels are the front with the
// code, the back with what to do, and two inside.
const (
	foldAcross  = 148.5 // mm from the top
	panelLeft   = 9.0
	panelRight  = 114.0
	panelWidth  = 87.0
	panelHeight = 132.0
	panelText   = 8.5 // points
	panelLabels = 35.0
)

// paperKind chooses one of the forms: they differ in the language that comes
// first, and outside of production they say MUSTER.
type paperKind struct {
	lang       string
	production bool
}

// papers are the forms, each laid out when it is first needed.
var papers = func() map[paperKind]func() (*pdf.Form, error) {
	forms := map[paperKind]func() (*pdf.Form, error){}
	for _, k := range []paperKind{{"de", true}, {"de", false}, {"en", true}, {"en", false}} {
		forms[k] = sync.OnceValues(func() (*pdf.Form, error) { return pdf.NewForm(k.sheet()) })
	}
	return forms
}()

// PDF is the certificate on one A4 page in German and English. lang is the
// language that the document declares and that comes first.
func (s *Service) PDF(c Certificate, lang string) ([]byte, error) {
	if !c.Ready() {
		return nil, fmt.Errorf("certificate %s is not ready", c.ID)
	}
	if lang != "en" {
		lang = "de"
	}
	form, err := papers[paperKind{lang, s.Production}]()
	if err != nil {
		return nil, err
	}
	return form.Fill(c.IssuedAt, c.values())
}

// values fill the slots of the form.
func (c Certificate) values() map[string]string {
	e, codes, n := c.Entry(), c.Codes(), c.Payload.Name
	values := map[string]string{
		"code": c.HC1, "family": n.Family, "given": n.Given, "birth": c.Payload.Birth,
		"dose": fmt.Sprintf("%d / %d", e.Dose, e.Doses), "date": e.Date,
		"disease":     "COVID-19 (" + e.Disease + ")",
		"prophylaxis": codes.ProphylaxisName + " (" + e.Prophylaxis + ")",
		"product":     codes.ProductName + " (" + e.Product + ")",
		"holder":      codes.HolderName + " (" + e.Holder + ")",
		"country":     e.Country, "issuer": e.Issuer, "id": e.ID,
		"std":    n.FamilyStd + "<<" + n.GivenStd,
		"issued": day(c.IssuedAt), "expires": day(c.ExpiresAt),
	}
	for name, v := range values {
		if v == "" {
			values[name] = "–"
		}
	}
	return values
}

func (k paperKind) sheet() pdf.SheetSpec {
	spec := pdf.SheetSpec{
		Lang: k.lang, Title: say(k.lang, "pdf.title"), Bare: true, Folds: []float64{foldAcross}, FoldMid: true,
		Blocks: append(k.front(), k.back()...),
	}
	spec.Blocks = append(spec.Blocks, k.inside()...)
	if !k.production {
		spec.Mark = dcc.Muster
	}
	return spec
}

func (k paperKind) other() string {
	if k.lang == "de" {
		return "en"
	}
	return "de"
}

// rows are fields with their labels in both languages; lines is the room of
// each value.
func (k paperKind) rows(lines int, names ...string) (rows []pdf.Pair) {
	for _, name := range names {
		rows = append(rows, pdf.Pair{Key: say(k.lang, "pdf."+name), Other: say(k.other(), "pdf."+name), Slot: pdf.Slot{Name: name, Lines: lines}})
	}
	return rows
}

func (k paperKind) pairs(rows ...pdf.Pair) pdf.Pairs {
	return pdf.Pairs{OtherLang: k.other(), KeyWidth: panelLabels, Rows: rows}
}

func (k paperKind) front() []pdf.Block {
	title := []pdf.Block{
		pdf.Heading{Text: say(k.lang, "pdf.title"), Top: true},
		pdf.In{Lang: k.other(), Blocks: []pdf.Block{pdf.Paragraph{Text: say(k.other(), "pdf.title"), Small: true}}},
	}
	if !k.production { // the mark across the page is hardly seen on a folded one
		title = append(title, pdf.Paragraph{Text: dcc.Muster, Bold: true})
	}
	return []pdf.Block{
		pdf.At{X: panelLeft, Y: 10, Width: panelWidth, Height: 36, Blocks: title},
		pdf.At{X: panelLeft, Y: 47, Width: panelWidth, Height: 56, Blocks: []pdf.Block{
			pdf.QR{Level: qr.Q, Size: printedBox, Side: printedSide, Align: "C", Alt: say(k.lang, "pdf.qr"), Slot: pdf.Slot{Name: "code"}},
		}},
		pdf.At{X: panelLeft, Y: 104, Width: panelWidth, Height: 40, Size: panelText, Blocks: []pdf.Block{
			k.pairs(append(k.rows(2, "family", "given"), k.rows(1, "birth", "dose")...)...),
		}},
	}
}

func (k paperKind) back() []pdf.Block {
	in := func(lang string) (blocks []pdf.Block) {
		if !k.production {
			blocks = append(blocks, pdf.Note{Title: dcc.Muster, Text: say(lang, "muster.text")})
		}
		blocks = append(blocks, pdf.Heading{Text: say(lang, "pdf.about")})
		return append(blocks, pdf.Texts(say(lang, "pdf.use"), say(lang, "pdf.private"), say(lang, "pdf.notice"))...)
	}
	return []pdf.Block{pdf.At{X: panelRight, Y: 10, Width: panelWidth, Height: panelHeight, Size: panelText, Blocks: []pdf.Block{
		pdf.In{Lang: k.lang, Blocks: in(k.lang)}, pdf.Gap{Height: 2}, pdf.In{Lang: k.other(), Blocks: in(k.other())},
	}}}
}

func (k paperKind) inside() []pdf.Block {
	panel := func(x float64, key string, rows []pdf.Pair, more ...pdf.Block) pdf.Block {
		blocks := []pdf.Block{
			pdf.Heading{Text: say(k.lang, key)},
			pdf.In{Lang: k.other(), Blocks: []pdf.Block{pdf.Paragraph{Text: say(k.other(), key), Small: true}}},
			k.pairs(rows...),
		}
		return pdf.At{X: x, Y: foldAcross + 7, Width: panelWidth, Height: panelHeight, Size: panelText, Blocks: append(blocks, more...)}
	}
	dose := append(k.rows(1, "disease"), k.rows(3, "prophylaxis")...)
	dose = append(dose, k.rows(2, "product", "holder")...)
	paper := append(k.rows(2, "issuer"), k.rows(3, "id", "std")...)
	return []pdf.Block{
		panel(panelLeft, "pdf.details", append(dose, k.rows(1, "date", "country")...)),
		panel(panelRight, "pdf.certificate", append(paper, k.rows(1, "issued", "expires")...),
			pdf.Gap{Height: 4}, pdf.Paragraph{Text: say(k.lang, "pdf.fold")},
			pdf.In{Lang: k.other(), Blocks: pdf.Texts(say(k.other(), "pdf.fold"))}),
	}
}
