package web

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strconv"
	"strings"

	"github.com/gofiber/fiber/v2"
)

// Op is a JSON operation: it decodes strictly, calls one function and encodes.
// The API description follows from its types.
type Op struct {
	Summary string
	in, out reflect.Type
	status  int
	repeat  bool
	handle  func(c *Ctx) error
}

// WithStatus lets an answer say that it is a 201 or 202.
type WithStatus interface{ HTTPStatus() int }

// JSON makes an operation of fn. In is a struct: fields with `path:"id"` and
// `query:"q"` tags come from the address (and carry `json:"-"`), all others
// from the body, where unknown fields are refused. Out struct{} answers 204.
// Domain errors are returned as *Problem.
func JSON[In, Out any](summary string, fn func(c *Ctx, in In) (Out, error)) *Op {
	op := &Op{Summary: summary, in: reflect.TypeFor[In](), out: reflect.TypeFor[Out](), status: http.StatusOK}
	if s, ok := any(*new(Out)).(WithStatus); ok {
		op.status = s.HTTPStatus()
	}
	if op.out == reflect.TypeFor[struct{}]() {
		op.status = http.StatusNoContent
	}
	from := sourcesOf(op.in)
	op.handle = func(c *Ctx) error {
		var in In
		if err := from.decode(c, &in); err != nil {
			return err
		}
		out, err := fn(c, in)
		if err != nil {
			return err
		}
		if c.GetRespHeader(fiber.HeaderCacheControl) == "" {
			c.Set(fiber.HeaderCacheControl, "no-store")
		}
		c.Status(op.status)
		if op.status == http.StatusNoContent {
			return nil
		}
		return c.Ctx.JSON(out)
	}
	return op
}

// Repeatable says in the description that the operation takes the header
// Idempotency-Key; that it holds what that promises is the slice's affair.
func (op *Op) Repeatable() *Op {
	op.repeat = true
	return op
}

// OptionalBody marks an In that may come without a body; its fields then have
// their zero values.
type OptionalBody interface{ OptionalBody() }

func optionalBody(t reflect.Type) bool { return t.Implements(reflect.TypeFor[OptionalBody]()) }

func malformed(field, key string, args ...any) error {
	return &Problem{Status: http.StatusBadRequest, Key: "web.error.malformed", Fields: []FieldError{{Field: field, Key: key, Args: args}}}
}

// sources says where the fields of an In come from.
type sources struct {
	body, optional bool
	address        []addressField
}

type addressField struct {
	index       int
	path, query string // one of both
}

func sourcesOf(in reflect.Type) sources {
	out := sources{body: hasBody(in), optional: optionalBody(in)}
	for i := range in.NumField() {
		f := addressField{i, in.Field(i).Tag.Get("path"), in.Field(i).Tag.Get("query")}
		if f.path != "" || f.query != "" {
			out.address = append(out.address, f)
		}
	}
	return out
}

func (from sources) decode(c *Ctx, in any) error {
	v := reflect.ValueOf(in).Elem()
	if from.body && unsafeMethod(c.Method()) && (len(c.Body()) > 0 || !from.optional) {
		d := json.NewDecoder(bytes.NewReader(c.Body()))
		d.DisallowUnknownFields()
		if err := d.Decode(in); err != nil {
			return jsonProblem(err)
		}
		if _, err := d.Token(); !errors.Is(err, io.EOF) {
			return malformed("", "web.error.json_trailing")
		}
		cleanStrings(v)
	}
	for _, f := range from.address {
		if f.path != "" {
			if err := setField(v.Field(f.index), f.path, c.Params(f.path)); err != nil {
				return NotFound()
			}
			continue
		}
		if s := c.Query(f.query); s != "" {
			if err := setField(v.Field(f.index), f.query, s); err != nil {
				return err
			}
		}
	}
	return nil
}

func jsonProblem(err error) error {
	var te *json.UnmarshalTypeError
	if errors.As(err, &te) {
		return malformed(te.Field, "web.error.json_type", "Want", te.Type.String())
	}
	if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		return malformed(strings.Trim(name, `"`), "web.error.json_unknown")
	}
	return malformed("", "web.error.json_syntax")
}

func hasBody(t reflect.Type) bool {
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Tag.Get("path") == "" && f.Tag.Get("query") == "" && f.Tag.Get("json") != "-" {
			return true
		}
	}
	return false
}

// cleanStrings gives every string of a decoded body the form that Form gives
// to what is typed into a page.
func cleanStrings(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		if v.CanSet() {
			v.SetString(CleanText(v.String()))
		}
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			cleanStrings(v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				cleanStrings(v.Field(i))
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			cleanStrings(v.Index(i))
		}
	case reflect.Map: // its values cannot be set in place
		for _, key := range v.MapKeys() {
			value := reflect.New(v.Type().Elem()).Elem()
			value.Set(v.MapIndex(key))
			cleanStrings(value)
			v.SetMapIndex(key, value)
		}
	}
}

func setField(f reflect.Value, name, s string) error {
	switch f.Kind() {
	case reflect.String:
		f.SetString(s)
		return nil
	case reflect.Int, reflect.Int64:
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return malformed(name, "web.error.json_type", "Want", "integer")
		}
		f.SetInt(n)
		return nil
	case reflect.Bool:
		b, err := strconv.ParseBool(s)
		if err != nil {
			return malformed(name, "web.error.json_type", "Want", "boolean")
		}
		f.SetBool(b)
		return nil
	}
	return fmt.Errorf("parameter %s: type %s is not supported", name, f.Type())
}
