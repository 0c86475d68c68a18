// Package pdftest reads documents with programs that are not ours.
package pdftest

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

type object = map[string]any

// reader has the objects of a file as qpdf tells them.
type reader struct {
	t       testing.TB
	objects map[string]struct {
		Value  any
		Stream *struct {
			Dict object
			Data string
		}
	}
}

// Run runs a program and returns what it prints.
func Run(t testing.TB, name string, args ...string) []byte {
	t.Helper()
	var out, errs bytes.Buffer
	c := exec.Command(name, args...)
	c.Stdout, c.Stderr = &out, &errs
	if err := c.Run(); err != nil {
		t.Fatalf("%s (Debian: poppler-utils, qpdf): %v: %s", name, err, errs.String())
	}
	return out.Bytes()
}

func openPDF(t testing.TB, file string) *reader {
	t.Helper()
	Run(t, "qpdf", "--check", file)
	raw := Run(t, "qpdf", "--json=2", "--json-stream-data=inline", "--decode-level=generalized", file)
	var doc struct{ QPDF []json.RawMessage }
	r := &reader{t: t}
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(doc.QPDF[1], &r.objects); err != nil {
		t.Fatal(err)
	}
	return r
}

// get follows references.
func (r *reader) get(v any) any {
	if s, ok := v.(string); ok && strings.HasSuffix(s, " R") {
		o := r.objects["obj:"+s]
		if o.Stream != nil {
			return o.Stream.Dict
		}
		return o.Value
	}
	return v
}

func (r *reader) dict(v any) object { d, _ := r.get(v).(object); return d }

func (r *reader) array(v any) []any {
	switch held := r.get(v).(type) {
	case []any:
		return held
	case nil:
		return nil
	default:
		return []any{v}
	}
}

func (r *reader) data(ref any) string {
	name, _ := ref.(string)
	s := r.objects["obj:"+name].Stream
	if s == nil {
		r.t.Errorf("%v is no stream", ref)
		return ""
	}
	b, err := base64.StdEncoding.DecodeString(s.Data)
	if err != nil {
		r.t.Fatal(err)
	}
	return string(b)
}

func text(v any) string {
	s, _ := v.(string)
	return strings.TrimPrefix(s, "u:")
}

// mark is a piece of marked content: its page and number.
type mark struct {
	page string
	id   int
}

// Accessible goes through the checklist of PDF/UA-1 (ISO 14289-1), as far as a
// program can decide it: language, title, fonts that say what their glyphs mean,
// every operator in marked content, every mark in the structure tree and back,
// figures with words, tables with heads. The objects are read by qpdf (Debian:
// qpdf), not by code of ours. lang is the language the document must declare.
func Accessible(t testing.TB, document []byte, lang string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "document.pdf")
	if err := os.WriteFile(file, document, 0o600); err != nil {
		t.Fatal(err)
	}
	r := openPDF(t, file)
	root := r.dict(r.dict(r.objects["trailer"].Value)["/Root"])
	if text(root["/Lang"]) != lang {
		t.Errorf("language %v, want %s", root["/Lang"], lang)
	}
	if r.dict(root["/MarkInfo"])["/Marked"] != true || r.dict(root["/ViewerPreferences"])["/DisplayDocTitle"] != true {
		t.Error("not marked, or the title is not shown")
	}
	xmp := r.data(root["/Metadata"])
	for _, want := range []string{"<pdfuaid:part>1</pdfuaid:part>", "<dc:title>", "<xmp:CreateDate>"} {
		if !strings.Contains(xmp, want) {
			t.Errorf("metadata lacks %s: %s", want, xmp)
		}
	}
	if strings.Contains(xmp, `x-default"></rdf:li>`) {
		t.Error("no title")
	}
	tree := r.dict(root["/StructTreeRoot"])
	reached := map[mark]string{} // by the element that owns it
	walk := &treeWalk{reader: r, reached: reached}
	for _, k := range r.array(tree["/K"]) {
		walk.elem(k.(string), root["/StructTreeRoot"].(string), "")
	}
	parents := r.array(r.dict(tree["/ParentTree"])["/Nums"])
	onPages := 0
	for i, p := range r.array(r.dict(root["/Pages"])["/Kids"]) {
		page := r.dict(p)
		if page["/Tabs"] != "/S" || page["/StructParents"] != float64(i) {
			t.Errorf("page %d: tabs %v, parents %v", i, page["/Tabs"], page["/StructParents"])
		}
		owners := r.array(parents[2*i+1])
		marks := r.content(page)
		onPages += len(marks)
		if len(owners) != len(marks) {
			t.Errorf("page %d: %d owners of %d marks", i, len(owners), len(marks))
		}
		for id, role := range marks {
			owner, _ := owners[id].(string)
			if reached[mark{p.(string), id}] != owner || r.dict(owner)["/S"] != "/"+role {
				t.Errorf("page %d, mark %d: %s of %s, but the tree has %q", i, id, role, owner, reached[mark{p.(string), id}])
			}
		}
	}
	if onPages != len(reached) {
		t.Errorf("%d marks on the pages, %d in the tree", onPages, len(reached))
	}
}

// content reads the operators of a page: each that paints stands in exactly
// one piece of marked content. It returns the roles by their numbers.
func (r *reader) content(page object) map[int]string {
	fonts := r.fonts(page)
	var all strings.Builder
	for _, c := range r.array(page["/Contents"]) {
		all.WriteString(r.data(c) + "\n")
	}
	marks, depth, font := map[int]string{}, 0, ""
	var args []string
	for _, token := range strings.Fields(strings.NewReplacer("<<", " << ", ">>", " >> ", "<", " <", ">", "> ", "/", " /", "[", " [", "]", "] ").Replace(all.String())) {
		switch token {
		case "BDC", "BMC":
			depth++
			if depth != 1 {
				r.t.Errorf("marked content inside marked content: %v", args)
			}
			if args[0] != "/Artifact" {
				var id int
				if i := slices.Index(args, "/MCID"); i < 0 {
					r.t.Errorf("marked content without a number: %v", args)
				} else if _, err := fmt.Sscan(args[i+1], &id); err != nil || marks[id] != "" {
					r.t.Errorf("%v: %v", args, err)
				}
				marks[id] = args[0][1:]
			}
		case "EMC":
			depth--
		case "Tf":
			font = args[len(args)-2]
			if i := slices.Index(args, "BT"); i >= 0 && fonts[font] == nil {
				r.t.Errorf("unknown font %s", font)
			}
		case "Tj":
			glyphs := strings.Trim(args[len(args)-1], "<>")
			for ; len(glyphs) >= 4; glyphs = glyphs[4:] {
				if !fonts[font][glyphs[:4]] {
					r.t.Errorf("glyph %s of %s stands for no character", glyphs[:4], font)
				}
			}
			fallthrough
		case "f", "S", "Do", "re", "TJ", "B", "f*", "sh":
			if depth != 1 {
				r.t.Errorf("%s outside of marked content: %v", token, args)
			}
		default:
			args = append(args, token)
			continue
		}
		args = args[:0]
	}
	if depth != 0 {
		r.t.Errorf("marked content is open at the end of the page")
	}
	return marks
}

// fonts are the embedded fonts of a page with the glyphs that stand for
// characters.
func (r *reader) fonts(page object) map[string]map[string]bool {
	out := map[string]map[string]bool{}
	for name, ref := range r.dict(r.dict(page["/Resources"])["/Font"]) {
		font := r.dict(ref)
		inner := r.dict(r.array(font["/DescendantFonts"])[0])
		if inner["/Subtype"] != "/CIDFontType2" || inner["/CIDToGIDMap"] != "/Identity" || r.dict(inner["/FontDescriptor"])["/FontFile2"] == nil {
			r.t.Errorf("font %v is not embedded as it must be: %v", font["/BaseFont"], inner)
		}
		known := map[string]bool{}
		for line := range strings.Lines(r.data(font["/ToUnicode"])) {
			if from, _, ok := strings.Cut(line, "><"); ok {
				known[strings.TrimPrefix(from, "<")] = true
			}
		}
		if delete(known, "0000"); len(known) < 100 {
			r.t.Errorf("font %v knows %d characters", font["/BaseFont"], len(known))
		}
		out[name] = known
	}
	return out
}

// treeWalk follows the structure tree.
type treeWalk struct {
	*reader
	reached  map[mark]string
	headings []string
}

// allowed are the elements that may stand in others; "" = the root.
var allowed = map[string][]string{
	"":         {"Document"},
	"Document": {"P", "H1", "H2", "Table", "L", "Div", "Figure"},
	"Div":      {"P", "H1", "H2", "Table", "L", "Div", "Figure"},
	"L":        {"LI"}, "LI": {"Lbl", "LBody"}, "Table": {"TR"}, "TR": {"TH", "TD"}, "TH": {"Span"}, "P": {"Span"},
}

func (w *treeWalk) elem(ref, parent, parentRole string) {
	e := w.dict(ref)
	role := strings.TrimPrefix(e["/S"].(string), "/")
	if !slices.Contains(allowed[parentRole], role) {
		w.t.Errorf("%s in %s", role, parentRole)
	}
	if e["/P"] != parent {
		w.t.Errorf("%s has the parent %v, not %s", ref, e["/P"], parent)
	}
	attributes := w.dict(e["/A"])
	switch role {
	case "Figure":
		if text(e["/Alt"]) == "" || len(w.array(attributes["/BBox"])) != 4 {
			w.t.Errorf("figure without words or place: %v", e)
		}
	case "TH":
		if attributes["/Scope"] != "/Row" && attributes["/Scope"] != "/Column" {
			w.t.Errorf("head cell without scope: %v", e)
		}
	case "L":
		if attributes["/ListNumbering"] == nil {
			w.t.Errorf("list without its kind: %v", e)
		}
	case "H1", "H2":
		if len(w.headings) == 0 && role != "H1" {
			w.t.Errorf("the first heading is %s", role)
		}
		w.headings = append(w.headings, role)
	case "Table":
		cells := map[int]bool{}
		for _, row := range w.array(e["/K"]) {
			cells[len(w.array(w.dict(row)["/K"]))] = true
		}
		if len(cells) != 1 {
			w.t.Errorf("a table's rows have %v cells", slices.Collect(maps.Keys(cells)))
		}
	}
	kids := w.array(e["/K"])
	if len(kids) == 0 && role != "TD" && role != "TH" {
		w.t.Errorf("empty %s", role)
	}
	for _, k := range kids {
		switch k := k.(type) {
		case string:
			w.elem(k, ref, role)
		case float64:
			w.mark(mark{e["/Pg"].(string), int(k)}, ref)
		case object:
			w.mark(mark{k["/Pg"].(string), int(k["/MCID"].(float64))}, ref)
		}
	}
}

func (w *treeWalk) mark(m mark, ref string) {
	if w.reached[m] != "" {
		w.t.Errorf("%v belongs to %s and %s", m, w.reached[m], ref)
	}
	w.reached[m] = ref
}
