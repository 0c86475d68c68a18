package pdf_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"image/png"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/makiuchi-d/gozxing"
	"github.com/makiuchi-d/gozxing/qrcode"
	"impfportal/internal/pdf"
	"impfportal/internal/pdf/pdftest"
	"impfportal/internal/qr"
)

var update = flag.Bool("update", false, "write the golden files")

var created = time.Date(2021, 1, 18, 9, 30, 0, 0, time.UTC)

func letter() pdf.LetterSpec {
	return pdf.LetterSpec{
		Lang: "de", Created: created,
		Sender:    []string{"Impfportal Sachsen", "Musterstraße 1", "01067 Dresden"},
		Remark:    "Persönlich",
		Recipient: []string{"Jiří Großmann-Müller", "c/o Pflegeheim Łučina", "Straße des 17. Juni 135", "02625 Bautzen (Budyšin)"},
		Info:      []pdf.Pair{{Key: "Vorgangsnummer", Value: "ABCD-EFGH-12"}, {Key: "Telefon", Value: "0800 0899 089"}},
		Date:      "18. Januar 2021", Subject: "Ihre Termine für die Impfung gegen COVID-19",
		Blocks: append(pdf.Texts("Guten Tag,", "für Sie sind zwei Termine gebucht. Bitte bringen Sie zu beiden Terminen einen Ausweis mit."),
			pdf.Pairs{Rows: []pdf.Pair{
				{Key: "Erster Termin", Value: "Montag, 25. Januar 2021, 14:00 Uhr"},
				{Key: "Zweiter Termin", Value: "Montag, 15. Februar 2021, 14:10 Uhr"},
				{Key: "Impfzentrum", Value: "Leipzig, Messe, Messe-Allee 1, 04356 Leipzig"},
			}},
			pdf.Heading{Text: "Ihre Zugangsdaten"},
			pdf.Code{Label: "Geheimnis", Text: "K7Q2-9FHM-XW4T-3PRD-0O1l"},
			pdf.Note{Title: "Bitte aufheben", Text: "Mit diesen Daten können Sie Ihre Termine ändern oder absagen."},
		),
		Footer: []string{"Impfportal Sachsen · Musterstraße 1 · 01067 Dresden", "Kostenfreie Hotline 0800 0899 089, täglich 8 bis 20 Uhr"},
	}
}

func sheet() pdf.SheetSpec {
	return pdf.SheetSpec{
		Lang: "de", Created: created, Issuer: []string{"Impfportal Sachsen", "Demonstration"}, Title: "Bestätigung Ihrer Termine",
		Subtitle: "Vorgang ABCD-EFGH-12", Mark: "MUSTER", Folds: []float64{148.5}, FoldMid: true,
		Blocks: []pdf.Block{
			pdf.Pairs{Rows: []pdf.Pair{{Key: "Name", Value: "Dvořák, Świętosława ß ńźć ě"}, {Key: "Geburtsdatum", Value: "01.02.1940"}}},
			pdf.Columns{
				Left:  []pdf.Block{pdf.Heading{Text: "Deutsch"}, pdf.Paragraph{Text: "Bitte bringen Sie einen Ausweis mit."}, pdf.List{Items: []string{"Ausweis", "Impfpass, wenn vorhanden"}}},
				Right: []pdf.Block{pdf.Heading{Text: "English"}, pdf.Paragraph{Text: "Please bring an identity document."}, pdf.List{Items: []string{"Identity document", "Vaccination record, if you have one"}}},
			},
			pdf.Code{Label: "Kennung", Text: "ABCD-EFGH-12"},
			pdf.QR{Text: "HC1:TEST 123", Level: qr.Q, Size: 40, Align: "R", Caption: "Beim Empfang zeigen"},
			pdf.Table{Head: []string{"Dosis", "Datum", "Impfstoff"}, Rows: [][]string{{"1", "25.01.2021", "Comirnaty"}, {"2", "15.02.2021", "Comirnaty"}}, Widths: []float64{1, 3, 4}},
			pdf.Paragraph{Text: "Klein gedruckt.", Small: true},
		},
		Footer: []string{"Impfportal Sachsen"},
	}
}

// Numbers end at the same edge, whatever their length, and their heading with them.
func TestNumbersStandToTheRight(t *testing.T) {
	t.Parallel()
	d := sheet()
	d.Mark, d.Blocks = "", []pdf.Block{pdf.Table{Head: []string{"Posten", "Anzahl", "Betrag"}, Rows: [][]string{{"x", "7", "0,60"}, {"y", "1234", "12345,00"}}, Numbers: 2}}
	b, err := pdf.Sheet(d)
	if err != nil {
		t.Fatal(err)
	}
	words := string(pdftest.Run(t, "pdftotext", "-bbox", save(t, b), "-"))
	edge := map[string]string{}
	for _, m := range regexp.MustCompile(`xMax="([0-9]+)[^"]*" yMax="[^"]*">([^<]+)<`).FindAllStringSubmatch(words, -1) {
		edge[m[2]] = m[1] // in points; their fractions are the letters' own margins
	}
	for _, same := range [][]string{{"Anzahl", "7", "1234"}, {"Betrag", "0,60", "12345,00"}} {
		for _, w := range same {
			if edge[w] == "" || edge[w] != edge[same[0]] {
				t.Errorf("%s ends at %q, %s at %q", w, edge[w], same[0], edge[same[0]])
			}
		}
	}
	if edge["x"] == edge["Posten"] {
		t.Error("text stands to the right")
	}
}

func save(t *testing.T, b []byte) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "x.pdf")
	if dir := os.Getenv("PDF_KEEP"); dir != "" {
		file = filepath.Join(dir, strings.ReplaceAll(t.Name(), "/", "_")+".pdf")
	}
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func golden(t *testing.T, name string, pdfFile string) {
	t.Helper()
	got := pdftest.Run(t, "pdftotext", "-layout", pdfFile, "-")
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("text differs from %s (write it with -update):\n%s", path, got)
	}
}

// word is one word of pdftotext -bbox, in mm.
type word struct {
	XMin float64 `xml:"xMin,attr"`
	XMax float64 `xml:"xMax,attr"`
	YMin float64 `xml:"yMin,attr"`
	YMax float64 `xml:"yMax,attr"`
	Text string  `xml:",chardata"`
}

func words(t *testing.T, pdfFile string) [][]word {
	t.Helper()
	var doc struct {
		Pages []struct {
			Words []word `xml:"word"`
		} `xml:"body>doc>page"`
	}
	raw := pdftest.Run(t, "pdftotext", "-bbox", pdfFile, "-")
	d := xml.NewDecoder(bytes.NewReader(raw))
	d.Strict, d.Entity = false, xml.HTMLEntity
	if err := d.Decode(&doc); err != nil {
		t.Fatal(err)
	}
	out := make([][]word, len(doc.Pages))
	for i, p := range doc.Pages {
		for _, w := range p.Words {
			const mm = 25.4 / 72
			out[i] = append(out[i], word{w.XMin * mm, w.XMax * mm, w.YMin * mm, w.YMax * mm, w.Text})
		}
	}
	return out
}

func TestLetter(t *testing.T) {
	t.Parallel()
	b, err := pdf.Letter(letter())
	if err != nil {
		t.Fatal(err)
	}
	file := save(t, b)
	golden(t, "letter.txt", file)
	info := string(pdftest.Run(t, "pdfinfo", file))
	for _, want := range []string{"Title:", "Ihre Termine für die Impfung", "A4", "Pages:           1"} {
		if !strings.Contains(info, want) {
			t.Errorf("pdfinfo lacks %q:\n%s", want, info)
		}
	}
	if !bytes.Contains(b, []byte("/Lang (de-DE)")) && !bytes.Contains(b, []byte("/Lang(de-DE)")) {
		t.Error("no document language")
	}
}

// The address must lie in the window (85 x 45 mm, 20 mm from the left, 45 mm
// from the top) with 5 mm to each side for a letter that slips in its envelope,
// and nothing else may.
func TestAddressLiesInTheWindow(t *testing.T) {
	t.Parallel()
	long := []string{"Maximiliane-Charlotte Freifrau von und zu Großmannsdorf-Eibenstock", "c/o Seniorenzentrum Am Schönen Garten gGmbH, Wohnbereich 3", "Karl-Heinrich-Ulrichs-Straße 117", "01067 Dresden"}
	for name, recipient := range map[string][]string{"usual": letter().Recipient, "long": long, "abroad": {"Jan Kowalski", "ul. Łódzka 5", "59-900 Zgorzelec", "POLEN"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			spec := letter()
			spec.Recipient = recipient
			b, err := pdf.Letter(spec)
			if err != nil {
				t.Fatal(err)
			}
			pages := words(t, save(t, b))
			text := strings.Join(recipient, " ")
			found := 0
			for _, w := range pages[0] {
				inside := w.XMin < 105 && w.XMax > 20 && w.YMin < 90 && w.YMax > 45
				if !inside {
					continue
				}
				if w.XMin < 24.9 || w.XMax > 100.1 || w.YMin < 45 || w.YMax > 90 {
					t.Errorf("%q leaves the window: %+v", w.Text, w)
				}
				if w.YMin > 62 {
					found++
					if !strings.Contains(strings.ReplaceAll(text, "-", ""), strings.ReplaceAll(w.Text, "-", "")) {
						t.Errorf("%q stands in the address zone", w.Text)
					}
				}
			}
			if found < len(strings.Fields(text)) {
				t.Errorf("found %d words of the address %q", found, text)
			}
			for _, w := range pages[0] {
				if w.Text == "Ihre" && w.YMin < 120 && (w.YMin < 97 || w.YMin > 101) {
					t.Errorf("subject at %.1f mm", w.YMin)
				}
			}
		})
	}
}

func TestAddressTooLong(t *testing.T) {
	t.Parallel()
	spec := letter()
	spec.Recipient = []string{"a", "b", "c", "d", "e", "f", "g"}
	if _, err := pdf.Letter(spec); !errors.Is(err, pdf.ErrAddress) {
		t.Errorf("got %v", err)
	}
}

func TestLetterOfSeveralPages(t *testing.T) {
	t.Parallel()
	spec := letter()
	for range 40 {
		spec.Blocks = append(spec.Blocks, pdf.Paragraph{Text: strings.Repeat("Ein Satz, der den Brief verlängert. ", 6)})
	}
	b, err := pdf.Letter(spec)
	if err != nil {
		t.Fatal(err)
	}
	file := save(t, b)
	text := string(pdftest.Run(t, "pdftotext", "-layout", file, "-"))
	pages := words(t, file)
	if len(pages) < 3 || !strings.Contains(text, "Seite 2 von ") {
		t.Fatalf("%d pages, or no page numbers", len(pages))
	}
	if got := strings.Count(text, "verlängert."); got != 240 {
		t.Errorf("%d of 240 sentences were printed", got)
	}
	for i, p := range pages {
		for _, w := range p {
			if w.XMin < 19 || w.XMax > 191 || w.YMax > 290 {
				t.Errorf("page %d: %q outside the margins: %+v", i+1, w.Text, w)
			}
		}
	}
}

// An empty line parts paragraphs, for the eye and for the ear.
func TestEmptyLineBeginsAParagraph(t *testing.T) {
	t.Parallel()
	b, err := pdf.Sheet(pdf.SheetSpec{Lang: "de", Title: "x", Blocks: pdf.Texts("Guten Tag,\n\nein Text\nin zwei Zeilen.\n\nGrüße")})
	if err != nil {
		t.Fatal(err)
	}
	pdftest.Accessible(t, b, "de-DE")
	tree := string(pdftest.Run(t, "pdfinfo", "-struct-text", save(t, b)))
	if strings.Count(tree, "P (block)") != 3 || !strings.Contains(tree, `"ein Text in zwei Zeilen. "`) {
		t.Error(tree)
	}
}

func TestSheet(t *testing.T) {
	t.Parallel()
	b, err := pdf.Sheet(sheet())
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "sheet.txt", save(t, b))
}

// A paragraph goes on after a page break as it was, also below a watermark.
func TestMarkedSheetOfSeveralPages(t *testing.T) {
	t.Parallel()
	spec := sheet()
	for range 40 {
		spec.Blocks = append(spec.Blocks, pdf.Paragraph{Text: strings.Repeat("Ein Satz, der das Blatt verlängert. ", 9)})
	}
	b, err := pdf.Sheet(spec)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for i, page := range words(t, save(t, b)) {
		for _, w := range page {
			if w.Text != "verlängert." {
				continue
			}
			if found++; w.YMax-w.YMin > 8 || w.XMax > 191 {
				t.Errorf("page %d: %+v", i+1, w)
			}
		}
	}
	if found != 360 {
		t.Errorf("%d of 360 sentences were printed", found)
	}
}

func TestSameInputSameBytes(t *testing.T) {
	t.Parallel()
	first, err := pdf.Sheet(sheet())
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		again, err := pdf.Sheet(sheet())
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(first, again) {
			t.Fatal("two runs differ")
		}
	}
}

// Whatever people type, in whatever encoding, a document comes out.
func FuzzText(f *testing.F) {
	for _, text := range []string{"", "Jiří Großmann", "Nguyễn\u0301\n\n\tx", "\xff\xfe\ufffd", "😀\u202e\u00ad", strings.Repeat("W", 300), " \u00a0 "} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		blocks := []pdf.Block{
			pdf.Paragraph{Text: text, Align: "R"},
			pdf.Pairs{Rows: []pdf.Pair{{Key: text, Other: text, Value: text}}, OtherLang: text},
			pdf.Heading{Text: text},
			pdf.Note{Title: text, Text: text},
			pdf.Code{Label: text, Text: text},
			pdf.List{Items: []string{text}},
			pdf.Table{Head: []string{text, text}, Rows: [][]string{{text, text}, {text}}},
			pdf.In{Lang: text, Blocks: pdf.Texts(text)},
			pdf.Columns{Left: pdf.Texts(text), Right: []pdf.Block{pdf.QR{Text: "x", Size: 30, Alt: text, Caption: text}}},
		}
		b, err := pdf.Sheet(pdf.SheetSpec{Lang: text, Issuer: []string{text}, Title: text, Subtitle: text, Mark: text, Footer: []string{text}, Blocks: blocks})
		if err != nil || !bytes.HasSuffix(b, []byte("%%EOF\n")) {
			t.Error(err)
		}
		_, err = pdf.Letter(pdf.LetterSpec{Sender: []string{text}, Recipient: []string{text}, Info: []pdf.Pair{{Key: text, Value: text}}, Remark: text, Subject: text, Date: text, Blocks: blocks})
		if err != nil && !errors.Is(err, pdf.ErrAddress) {
			t.Error(err)
		}
	})
}

func TestForeignLetters(t *testing.T) {
	t.Parallel()
	b, err := pdf.Sheet(pdf.SheetSpec{Lang: "de", Title: "x", Blocks: pdf.Texts(
		"äöüÄÖÜß ř ě ł ć ń ź š ž ó ŕ Ř Ě Ł", "Nguyễn Thị Ánh", "Mu\u0308ller", "emoji 😀 ende", "Ελλάδα Москва", "a\u202eb\u200bc")})
	if err != nil {
		t.Fatal(err)
	}
	text := string(pdftest.Run(t, "pdftotext", "-layout", save(t, b), "-"))
	for _, want := range []string{"äöüÄÖÜß ř ě ł ć ń ź š ž ó ŕ Ř Ě Ł", "Nguyen Thi Ánh", "Müller", "emoji ? ende", "Ελλάδα Москва", "abc"} {
		if !strings.Contains(text, want) {
			t.Errorf("lacks %q:\n%s", want, text)
		}
	}
}

// A code in a document is read by a reader that knows nothing of ours, from the
// printed page, and has exactly the size that was asked for.
func TestQROnThePage(t *testing.T) {
	t.Parallel()
	text := "HC1:" + strings.Repeat("6BF:$%*+-./AZ09 ", 20)
	b, err := pdf.Sheet(pdf.SheetSpec{Lang: "de", Title: "QR", Blocks: []pdf.Block{
		pdf.At{X: 120, Y: 100, Width: 60, Blocks: []pdf.Block{pdf.QR{Text: text, Level: qr.Q, Size: 60}}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	file := save(t, b)
	const dpi = 254 // ten pixels a millimetre
	root := strings.TrimSuffix(file, ".pdf")
	pdftest.Run(t, "pdftoppm", "-r", "254", "-png", "-singlefile", file, root)
	raw, err := os.ReadFile(root + ".png")
	if err != nil {
		t.Fatal(err)
	}
	img, err := png.Decode(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	bmp, err := gozxing.NewBinaryBitmapFromImage(img)
	if err != nil {
		t.Fatal(err)
	}
	got, err := qrcode.NewQRCodeReader().Decode(bmp, nil)
	if err != nil || got.GetText() != text {
		t.Fatalf("read %v, %v", got, err)
	}
	code, err := qr.Encode(text, qr.Q)
	if err != nil {
		t.Fatal(err)
	}
	unit := 60.0 / float64(code.Size()+2*qr.QuietZone) * dpi / 25.4
	dark := func(x, y float64) bool { r, _, _, _ := img.At(int(x), int(y)).RGBA(); return r < 0x8000 }
	left, top := 1200+qr.QuietZone*unit, 1000+qr.QuietZone*unit
	right := left + float64(code.Size())*unit
	if !dark(left+2, top+2) || dark(left-2, top+2) || !dark(right-2, top+2) || dark(right+3, top+2) {
		t.Error("the code is not where and as large as it was asked for")
	}
}

// Every kind of document passes the checklist.
func TestAccessible(t *testing.T) {
	t.Parallel()
	many := sheet()
	for range 60 {
		many.Blocks = append(many.Blocks, pdf.Paragraph{Text: strings.Repeat("Ein Satz, der das Blatt verlängert. ", 9)}, pdf.Rule{})
	}
	rows := make([][]string, 90)
	for i := range rows {
		rows[i] = []string{"Zeile", "mit zwei Zellen"}
	}
	many.Blocks = append(many.Blocks, pdf.Table{Head: []string{"A", "B", "C"}, Rows: rows})
	many.Footer = append(many.Footer, "Auf jeder Seite")
	untitled := pdf.SheetSpec{Lang: "en", Blocks: []pdf.Block{pdf.Heading{Text: "First"}, pdf.Heading{Text: "Second"}, pdf.Paragraph{}, pdf.List{}, pdf.Pairs{}}}
	foreign := sheet()
	foreign.Blocks = []pdf.Block{
		pdf.In{Lang: "en", Blocks: pdf.Texts("Please bring an identity document.")},
		pdf.Pairs{OtherLang: "en", Rows: []pdf.Pair{{Key: "Nachname", Other: "Surname", Value: "Müller"}}},
		pdf.At{X: 20, Y: 200, Width: 80, Size: 8, Blocks: []pdf.Block{pdf.Note{Title: "Klein", Text: "gedruckt"}}},
	}
	long := letter()
	for range 40 {
		long.Blocks = append(long.Blocks, pdf.Paragraph{Text: strings.Repeat("Ein Satz, der den Brief verlängert. ", 6)})
	}
	for name, make := range map[string]func() ([]byte, error){
		"letter":   func() ([]byte, error) { return pdf.Letter(letter()) },
		"long":     func() ([]byte, error) { return pdf.Letter(long) },
		"sheet":    func() ([]byte, error) { return pdf.Sheet(sheet()) },
		"many":     func() ([]byte, error) { return pdf.Sheet(many) },
		"untitled": func() ([]byte, error) { return pdf.Sheet(untitled) },
		"foreign":  func() ([]byte, error) { return pdf.Sheet(foreign) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, err := make()
			if err != nil {
				t.Fatal(err)
			}
			lang := "de-DE"
			if name == "untitled" {
				lang = "en-GB"
			}
			save(t, b)
			pdftest.Accessible(t, b, lang)
		})
	}
}
