package pdf_test

import (
	"bytes"
	"errors"
	"maps"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"impfportal/internal/pdf"
	"impfportal/internal/pdf/pdftest"
	"impfportal/internal/qr"
)

func form() (pdf.SheetSpec, map[string]string) {
	values := map[string]string{"code": "HC1:TEST 123"}
	var rows []pdf.Pair
	for _, name := range []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p"} {
		rows = append(rows, pdf.Pair{Key: "Feld " + name, Other: "field " + name, Slot: pdf.Slot{Name: name}})
		values[name] = "Wert von " + name
	}
	return pdf.SheetSpec{
		Lang: "de", Issuer: []string{"Impfportal"}, Title: "Vordruck", Mark: "MUSTER", FoldMid: true,
		Blocks: []pdf.Block{
			pdf.QR{Level: qr.Q, Size: 48, Side: 41, Alt: "QR-Code des Vordrucks", Slot: pdf.Slot{Name: "code"}},
			pdf.Pairs{OtherLang: "en", Rows: rows},
			pdf.Paragraph{Slot: pdf.Slot{Name: "a", Lines: 2}, Align: "R"},
			pdf.Paragraph{Text: "Was für alle gleich ist."},
			pdf.PageBreak{},
			pdf.Paragraph{Slot: pdf.Slot{Name: "b"}, Align: "C"},
		},
	}, values
}

func newForm(t *testing.T) (*pdf.Form, map[string]string) {
	t.Helper()
	spec, values := form()
	f, err := pdf.NewForm(spec)
	if err != nil {
		t.Fatal(err)
	}
	return f, values
}

// What is filled in stands on the page and in the structure tree, whatever
// letters it needs, and one filling leaves nothing behind for the next.
func TestForm(t *testing.T) {
	t.Parallel()
	f, values := newForm(t)
	first, err := f.Fill(created, values)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"Müller", "Dvořák", "Ελλάδα Москва", "", strings.Repeat("Łańcucka-", 9), "Zeile eins\nZeile zwei"} {
		own := maps.Clone(values)
		own["a"] = name
		b, err := f.Fill(created, own)
		if err != nil {
			t.Fatal(err)
		}
		pdftest.Accessible(t, b, "de-DE")
		file := save(t, b)
		text := string(pdftest.Run(t, "pdftotext", "-layout", file, "-"))
		for _, want := range []string{"Feld a", "field p", "Wert von p", "Was für alle gleich ist."} {
			if !strings.Contains(text, want) {
				t.Errorf("%q: lacks %q:\n%s", name, want, text)
			}
		}
		if plain := func(s string) string { return strings.Join(strings.Fields(s), "") }; !strings.Contains(plain(text), plain(name)) {
			t.Errorf("lacks %q:\n%s", name, text)
		}
		if tree := string(pdftest.Run(t, "pdfinfo", "-struct-text", file)); !strings.Contains(tree, `"Wert von b"`) {
			t.Errorf("the structure lacks a value:\n%s", tree)
		}
	}
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for range 10 {
				if again, err := f.Fill(created, values); err != nil || !bytes.Equal(first, again) {
					t.Errorf("two fillings with the same values differ (%v)", err)
				}
			}
		})
	}
	group.Wait()
}

func TestFormErrors(t *testing.T) {
	t.Parallel()
	f, values := newForm(t)
	delete(values, "p")
	if _, err := f.Fill(created, values); !errors.Is(err, pdf.ErrSlot) {
		t.Errorf("a value is missing: %v", err)
	}
	values["p"], values["code"] = "x", strings.Repeat("x", 3000)
	if _, err := f.Fill(created, values); !errors.Is(err, qr.ErrTooLong) {
		t.Errorf("a code that is too long: %v", err)
	}
	spec, _ := form()
	if _, err := pdf.Sheet(spec); !errors.Is(err, pdf.ErrSlot) {
		t.Errorf("a sheet with slots: %v", err)
	}
	spec.Blocks = []pdf.Block{pdf.At{X: 20, Y: 20, Width: 50, Height: 10, Blocks: pdf.Texts("eins", "zwei", "drei")}}
	if _, err := pdf.NewForm(spec); !errors.Is(err, pdf.ErrRoom) {
		t.Errorf("too much for its place: %v", err)
	}
}

// Whatever is filled in, a document comes out.
func TestFormTakesAnyText(t *testing.T) {
	t.Parallel()
	f, values := newForm(t)
	rapid.Check(t, func(rt *rapid.T) {
		own := maps.Clone(values)
		own["a"], own["b"] = string(rapid.SliceOf(rapid.Byte()).Draw(rt, "bytes")), rapid.String().Draw(rt, "text")
		if _, err := f.Fill(created, own); err != nil {
			rt.Fatal(err)
		}
	})
}
