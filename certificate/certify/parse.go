package certify

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"time"
	"unicode/utf8"
)

// maxBody bounds a request, in bytes. A real one has some 400.
const maxBody = 64 << 10

// wanted is what the software says of a vaccination, as the public description
// names it.
type wanted struct {
	Family, Given, Birth                  string // nam.fn, nam.gn, dob
	Location                              string // v.id
	Disease, Prophylaxis, Product, Holder string // v.tg, v.vp, v.mp, v.ma
	Dose, Doses                           int    // v.dn, v.sd
	Day                                   time.Time
}

var (
	locationForm = regexp.MustCompile(`^[0-9A-Z]{1,20}$`)
	birthForm    = regexp.MustCompile(`^(19|20)\d\d(-\d\d(-\d\d)?)?$`)
	codeForm     = regexp.MustCompile(`^[A-Za-z0-9/-]{1,40}$`)
)

// maxName is the longest name, in characters, as the EU's schema has it.
const maxName = 80

// parse reads a request strictly: one JSON object, each name once and spelled as
// described, nothing unknown. "ver", "nam.fnt" and "nam.gnt", which software that
// builds whole payloads sends along, are taken and not used: the portal makes them
// itself. A field that is null counts as not there.
func parse(body []byte) (w wanted, err error) {
	root, err := decode(body)
	if err != nil {
		return w, err
	}
	for _, kind := range []string{"r", "t"} {
		if root[kind] != nil {
			return w, refuse(http.StatusNotAcceptable, "certify.error.kind").at(kind)
		}
	}
	o := object{fields: root}
	o.known("nam", "dob", "v", "r", "t", "ver")
	o.text("ver", maxName, false)
	w.Birth = o.text("dob", 10, true)
	if !birthForm.MatchString(w.Birth) {
		o.fail("dob", "certify.error.birth")
	}
	name := o.object("nam")
	name.known("fn", "gn", "fnt", "gnt")
	w.Family, w.Given = name.text("fn", maxName, true), name.text("gn", maxName, false)
	name.text("fnt", maxName, false)
	name.text("gnt", maxName, false)
	v := o.only("v")
	v.known("id", "tg", "vp", "mp", "ma", "dn", "sd", "dt")
	w.Location = v.form("id", locationForm)
	w.Disease, w.Prophylaxis, w.Product, w.Holder = v.form("tg", codeForm), v.form("vp", codeForm), v.form("mp", codeForm), v.form("ma", codeForm)
	w.Dose, w.Doses = v.number("dn"), v.number("sd")
	if w.Day, err = time.Parse(time.DateOnly, v.text("dt", 10, true)); err != nil {
		v.fail("dt", "certify.error.date")
	}
	for _, part := range []*object{&o, name, v} {
		if part.err != nil {
			return w, part.err
		}
	}
	return w, nil
}

// decode reads one JSON object and refuses a name that comes twice.
func decode(body []byte) (map[string]any, error) {
	bad := refuse(http.StatusBadRequest, "certify.error.json")
	if !utf8.Valid(body) {
		return nil, bad
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	v, err := value(d, 0)
	var twice *duplicate
	switch {
	case errors.As(err, &twice):
		return nil, refuse(http.StatusBadRequest, "certify.error.twice", "Field", twice.name).at(twice.name)
	case err != nil:
		return nil, bad
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, bad
	}
	root, ok := v.(map[string]any)
	if !ok {
		return nil, bad
	}
	return root, nil
}

type duplicate struct{ name string }

func (d *duplicate) Error() string { return "name comes twice" }

// deepest is more than any request needs.
const deepest = 6

var errDeep = errors.New("nested too deeply")

func value(d *json.Decoder, depth int) (any, error) {
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	delim, ok := t.(json.Delim)
	if !ok {
		return t, nil
	}
	if depth == deepest {
		return nil, errDeep
	}
	if delim == '[' {
		var list []any
		for d.More() {
			v, err := value(d, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err := d.Token()
		return list, err
	}
	out := map[string]any{}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, err
		}
		name, _ := t.(string)
		if _, twice := out[name]; twice {
			return nil, &duplicate{cut(name)}
		}
		if out[name], err = value(d, depth+1); err != nil {
			return nil, err
		}
	}
	_, err = d.Token()
	return out, err
}

// cut shortens a name that somebody made up.
func cut(s string) string {
	if r := []rune(s); len(r) > 40 {
		return string(r[:40]) + "…"
	}
	return s
}

// object reads the fields of a JSON object and keeps the first thing that is wrong.
type object struct {
	path   string
	fields map[string]any
	err    error
}

func (o *object) fail(field, key string) {
	if o.err == nil {
		o.err = refuse(http.StatusBadRequest, key, "Field", o.path+field).at(o.path + field)
	}
}

// known refuses every other field.
func (o *object) known(names ...string) {
	known := map[string]bool{}
	for _, n := range names {
		known[n] = true
	}
	for n := range o.fields {
		if !known[n] {
			o.fail(cut(n), "certify.error.field")
		}
	}
}

func (o *object) text(field string, most int, required bool) string {
	v := o.fields[field]
	if v == nil {
		if required {
			o.fail(field, "certify.error.missing")
		}
		return ""
	}
	s, ok := v.(string)
	switch {
	case !ok:
		o.fail(field, "certify.error.type")
	case utf8.RuneCountInString(s) > most:
		o.fail(field, "certify.error.long")
	case required && s == "":
		o.fail(field, "certify.error.missing")
	}
	return s
}

func (o *object) form(field string, form *regexp.Regexp) string {
	s := o.text(field, maxName, true)
	if o.err == nil && !form.MatchString(s) {
		o.fail(field, "certify.error.form")
	}
	return s
}

func (o *object) number(field string) int {
	v := o.fields[field]
	if v == nil {
		o.fail(field, "certify.error.missing")
		return 0
	}
	n, ok := v.(json.Number)
	i, err := strconv.Atoi(n.String())
	if !ok || err != nil {
		o.fail(field, "certify.error.type")
	}
	return i
}

func (o *object) object(field string) *object {
	fields, ok := o.fields[field].(map[string]any)
	if !ok {
		if o.fields[field] == nil {
			o.fail(field, "certify.error.missing")
		} else {
			o.fail(field, "certify.error.type")
		}
	}
	return &object{path: o.path + field + ".", fields: fields}
}

// only reads a list of exactly one object.
func (o *object) only(field string) *object {
	list, ok := o.fields[field].([]any)
	var fields map[string]any
	switch {
	case o.fields[field] == nil:
		o.fail(field, "certify.error.missing")
	case !ok || len(list) != 1:
		o.fail(field, "certify.error.one")
	default:
		if fields, ok = list[0].(map[string]any); !ok {
			o.fail(field, "certify.error.type")
		}
	}
	return &object{path: fmt.Sprintf("%s[0].", field), fields: fields}
}
