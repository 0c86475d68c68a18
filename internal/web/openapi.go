package web

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3gen"
)

var pathParam = regexp.MustCompile(`:([a-zA-Z_]+)`)

// openAPI describes every JSON operation, from the same list of routes and the
// same Go types that answer. Tests hold it against real answers.
func (a *App) openAPI() ([]byte, error) {
	gen := openapi3gen.NewGenerator(openapi3gen.UseAllExportedFields(), openapi3gen.SchemaCustomizer(customizeSchema))
	doc := &openapi3.T{
		OpenAPI: "3.0.3",
		Info: &openapi3.Info{Title: "Impfportal", Version: "1", Description: "The same operations as the pages. " +
			"Errors are RFC 9457 problems. A session token from POST /api/v1/sessions is sent as 'Authorization: Bearer'."},
		Paths: openapi3.NewPaths(),
		Components: &openapi3.Components{
			Schemas: openapi3.Schemas{},
			SecuritySchemes: openapi3.SecuritySchemes{
				"bearer": {Value: openapi3.NewSecurityScheme().WithType("http").WithScheme("bearer")},
			},
		},
	}
	problem, err := gen.NewSchemaRefForValue(&ProblemJSON{}, doc.Components.Schemas)
	if err != nil {
		return nil, err
	}
	doc.Components.Schemas["Problem"] = problem
	for _, r := range a.routes {
		if r.API == nil {
			continue
		}
		op, err := describe(gen, doc, r)
		if err != nil {
			return nil, fmt.Errorf("describe %s %s: %w", r.Method, r.Path, err)
		}
		doc.AddOperation(pathParam.ReplaceAllString(r.Path, "{$1}"), r.Method, op)
	}
	return json.MarshalIndent(doc, "", " ")
}

func describe(gen *openapi3gen.Generator, doc *openapi3.T, r Route) (*openapi3.Operation, error) {
	op := openapi3.NewOperation()
	op.Summary = r.API.Summary
	op.OperationID = operationID(r)
	if len(r.Roles) > 0 {
		names := make([]string, len(r.Roles))
		for i, role := range r.Roles {
			names[i] = string(role)
		}
		op.Description = "Roles: " + strings.Join(names, ", ")
		op.Security = &openapi3.SecurityRequirements{{"bearer": {}}}
	}
	if r.Gate != "" {
		op.Description = strings.TrimSpace(op.Description + " Needs the pass of a waiting room.")
	}
	for i := range r.API.in.NumField() {
		f := r.API.in.Field(i)
		var p *openapi3.Parameter
		if name := f.Tag.Get("path"); name != "" {
			p = openapi3.NewPathParameter(name)
		} else if name := f.Tag.Get("query"); name != "" {
			p = openapi3.NewQueryParameter(name)
		} else {
			continue
		}
		p.Description = f.Tag.Get("doc")
		p.Schema = paramSchema(f.Type).NewRef()
		op.AddParameter(p)
	}
	if r.API.repeat {
		p := openapi3.NewHeaderParameter("Idempotency-Key").WithSchema(openapi3.NewStringSchema().WithMaxLength(100))
		p.Description = "made by the client; the same request with the same key again does nothing and is answered alike"
		op.AddParameter(p)
	}
	if unsafeMethod(r.Method) && hasBody(r.API.in) {
		s, err := gen.NewSchemaRefForValue(reflect.New(r.API.in).Interface(), doc.Components.Schemas)
		if err != nil {
			return nil, err
		}
		op.RequestBody = &openapi3.RequestBodyRef{Value: openapi3.NewRequestBody().WithRequired(!optionalBody(r.API.in)).WithJSONSchemaRef(s)}
	}
	ok := openapi3.NewResponse().WithDescription(http.StatusText(r.API.status))
	if r.API.status != http.StatusNoContent {
		s, err := gen.NewSchemaRefForValue(reflect.New(r.API.out).Interface(), doc.Components.Schemas)
		if err != nil {
			return nil, err
		}
		ok = ok.WithJSONSchemaRef(s)
	}
	op.AddResponse(r.API.status, ok)
	op.Responses.Set("default", &openapi3.ResponseRef{Value: openapi3.NewResponse().WithDescription("Problem (RFC 9457)").
		WithContent(openapi3.Content{"application/problem+json": openapi3.NewMediaType().WithSchemaRef(openapi3.NewSchemaRef("#/components/schemas/Problem", nil))})})
	return op, nil
}

func operationID(r Route) string {
	s := strings.ToLower(r.Method) + strings.NewReplacer("/", "_", ":", "", "-", "_").Replace(strings.TrimPrefix(r.Path, "/api/v1"))
	return s
}

func paramSchema(t reflect.Type) *openapi3.Schema {
	switch t.Kind() {
	case reflect.Int, reflect.Int64:
		return openapi3.NewInt64Schema()
	case reflect.Bool:
		return openapi3.NewBoolSchema()
	}
	return openapi3.NewStringSchema()
}

// customizeSchema reads the tags doc:"...", enum:"a,b" and maxlen:"100", and
// knows that a nil slice is written as null.
func customizeSchema(name string, t reflect.Type, tag reflect.StructTag, s *openapi3.Schema) error {
	if tag.Get("path") != "" || tag.Get("query") != "" || tag.Get("json") == "-" {
		return &openapi3gen.ExcludeSchemaSentinel{}
	}
	if d := tag.Get("doc"); d != "" {
		s.Description = d
	}
	if e := tag.Get("enum"); e != "" {
		for v := range strings.SplitSeq(e, ",") {
			s.Enum = append(s.Enum, v)
		}
	}
	if m := tag.Get("maxlen"); m != "" {
		n, err := strconv.ParseUint(m, 10, 32)
		if err != nil {
			return fmt.Errorf("field %s: maxlen %q", name, m)
		}
		s.MaxLength = &n
	}
	switch t.Kind() {
	case reflect.Slice, reflect.Pointer, reflect.Map, reflect.Interface:
		s.Nullable = true
	}
	return nil
}
