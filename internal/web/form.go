package web

import (
	"maps"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// Form is what somebody typed, and what is wrong with it. Values are trimmed,
// in Unicode NFC and free of control characters (a line break stays). A page
// that is shown again shows the values again.
type Form struct {
	values map[string][]string
	Errors []FieldError
}

// NewForm returns a form with values, to fill a page for editing.
func NewForm(kv ...string) *Form {
	f := &Form{}
	for i := 0; i+1 < len(kv); i += 2 {
		f.Set(kv[i], kv[i+1])
	}
	return f
}

// Form parses the body (form-urlencoded or multipart) once.
func (c *Ctx) Form() *Form {
	if c.form != nil {
		return c.form
	}
	f := &Form{values: map[string][]string{}}
	if c.form = f; len(c.Request().Body()) == 0 {
		return f
	}
	for k, v := range c.Ctx.Request().PostArgs().All() {
		f.values[string(k)] = append(f.values[string(k)], CleanText(string(v)))
	}
	if mf, err := c.MultipartForm(); err == nil {
		for k, vs := range mf.Value {
			for _, v := range vs {
				f.values[k] = append(f.values[k], CleanText(v))
			}
		}
	}
	return f
}

// CleanText trims s, composes it (NFC) and drops invalid and control
// characters except line breaks.
func CleanText(s string) string {
	s = strings.ToValidUTF8(s, "")
	s = strings.ReplaceAll(s, "\r\n", "\n")
	s = strings.Map(func(r rune) rune {
		if r == '\n' || !unicode.IsControl(r) {
			return r
		}
		if r == '\t' {
			return ' '
		}
		return -1
	}, s)
	return strings.TrimSpace(norm.NFC.String(s))
}

// Get returns the first value of a field, "" when absent.
func (f *Form) Get(name string) string {
	if f == nil || len(f.values[name]) == 0 {
		return ""
	}
	return f.values[name][0]
}

// All returns all values of a field.
func (f *Form) All(name string) []string {
	if f == nil {
		return nil
	}
	return f.values[name]
}

// Names lists the fields that have a value, in order.
func (f *Form) Names() []string { return slices.Sorted(maps.Keys(f.values)) }

// Set replaces the values of a field.
func (f *Form) Set(name string, v ...string) {
	if f.values == nil {
		f.values = map[string][]string{}
	}
	f.values[name] = v
}

// Fail notes that a field is wrong; key is a text of the catalogue.
func (f *Form) Fail(name, key string, args ...any) {
	f.Errors = append(f.Errors, FieldError{Field: name, Key: key, Args: args})
}

// Take notes the fields of a Problem, as a domain function returns it.
func (f *Form) Take(p *Problem) { f.Errors = append(f.Errors, p.Fields...) }

// OK reports whether nothing is wrong.
func (f *Form) OK() bool { return f == nil || len(f.Errors) == 0 }

// errorOf returns the first error of a field.
func (f *Form) errorOf(name string) *FieldError {
	if f == nil {
		return nil
	}
	for i := range f.Errors {
		if f.Errors[i].Field == name {
			return &f.Errors[i]
		}
	}
	return nil
}
