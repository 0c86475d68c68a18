package web

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"

	"github.com/gofiber/fiber/v2"

	"impfportal/internal/pg"
)

// Problem is an error that is told to the caller in words: as a page, or as
// RFC 9457 JSON (application/problem+json). Every other error becomes a 500
// that says nothing but its reference number.
type Problem struct {
	Status int
	Key    string // key of the text
	Args   []any  // alternating name, value
	Fields []FieldError
	// Extra stands in the JSON form under "detail_data" and is handed to the
	// page as data: the three nearest alternatives, the way back to the line.
	Extra any
	// Link and LinkKey offer the way on ("to the line") on the page.
	Link, LinkKey string
}

// FieldError says what is wrong with one field of a form.
type FieldError struct {
	Field string
	Key   string
	Args  []any
}

func (p *Problem) Error() string {
	text := fmt.Sprintf("%d %s", p.Status, p.Key)
	for _, f := range p.Fields {
		// Without the arguments: what was typed belongs in no log.
		text += fmt.Sprintf(" %.40q:%s", f.Field, f.Key)
	}
	return text
}

// Fail returns a Problem with a text of the catalogue.
func Fail(status int, key string, args ...any) *Problem {
	return &Problem{Status: status, Key: key, Args: args}
}

// Invalid returns a 422 for fields of an API call.
func Invalid(fields ...FieldError) *Problem {
	return &Problem{Status: http.StatusUnprocessableEntity, Key: "web.error.invalid", Fields: fields}
}

// NotFound is the answer for what does not exist, and for what is somebody else's.
func NotFound() *Problem { return Fail(http.StatusNotFound, "web.error.not_found") }

// Forbidden is the answer for a role that may not.
func Forbidden() *Problem { return Fail(http.StatusForbidden, "web.error.forbidden") }

// ProblemJSON is the RFC 9457 form of every error of the API.
type ProblemJSON struct {
	Type   string             `json:"type" doc:"urn:impfportal:problem: and the key of the error"`
	Title  string             `json:"title" doc:"the error in the caller's language"`
	Status int                `json:"status"`
	Ref    string             `json:"reference" doc:"stands in the log; name it when you ask for help"`
	Errors []ProblemFieldJSON `json:"errors,omitempty"`
	Link   string             `json:"link,omitempty" doc:"where to go on"`
	Extra  any                `json:"detail_data,omitempty"`
}

// ProblemFieldJSON is one field of a ProblemJSON.
type ProblemFieldJSON struct {
	Field  string `json:"field"`
	Code   string `json:"code"`
	Detail string `json:"detail"`
}

// refAlphabet has no characters that are mistaken for one another on the phone.
const refAlphabet = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"

func newRef() string {
	b := make([]byte, 8)
	_, _ = rand.Read(b) // never fails since Go 1.24
	for i := range b {
		b[i] = refAlphabet[int(b[i])%len(refAlphabet)]
	}
	return string(b[:4]) + "-" + string(b[4:])
}

// onError renders every error of every handler.
func (a *App) onError(fc *fiber.Ctx, err error) error {
	c := a.ctx(fc)
	p := asProblem(err)
	ref := newRef()
	level := slog.LevelInfo
	if p.Status >= 500 {
		level = slog.LevelError
	}
	a.log.Log(c.Std(), level, "request refused", "ref", ref, "status", p.Status, "method", fc.Method(), "route", fc.Route().Path, "err", err.Error())
	fc.Status(p.Status)
	if p.Status == http.StatusServiceUnavailable || p.Status == http.StatusTooManyRequests {
		if fc.GetRespHeader(fiber.HeaderRetryAfter) == "" {
			fc.Set(fiber.HeaderRetryAfter, "5")
		}
	}
	fc.Set(fiber.HeaderCacheControl, "no-store")
	if c.wantsJSON() {
		return c.problemJSON(p, ref)
	}
	if err := c.render("web/error", &page{D: errorPage{Problem: p, Title: c.errorTitle(p.Key), Text: c.T(p.Key, p.Args...), Ref: ref}, Form: &Form{}, noUser: true}); err != nil {
		a.log.Error("error page", "ref", ref, "err", err)
		fc.Type("txt", "utf-8")
		return fc.SendString(http.StatusText(p.Status) + " " + ref)
	}
	return nil
}

type errorPage struct {
	Problem *Problem
	Title   string
	Text    string
	Ref     string
}

// errorTitle is the heading of an error: the text of its own key with ".title",
// or the general one.
func (c *Ctx) errorTitle(key string) string {
	if c.app.cat.has(c.Lang, key+".title") {
		return c.T(key + ".title")
	}
	return c.T("web.error.title")
}

func (c *Ctx) problemJSON(p *Problem, ref string) error {
	out := ProblemJSON{
		Type: "urn:impfportal:problem:" + p.Key, Title: c.T(p.Key, p.Args...), Status: p.Status, Ref: ref, Link: p.Link, Extra: p.Extra,
	}
	for _, f := range p.Fields {
		out.Errors = append(out.Errors, ProblemFieldJSON{Field: f.Field, Code: f.Key, Detail: c.T(f.Key, f.Args...)})
	}
	if err := c.Ctx.JSON(out); err != nil {
		return err
	}
	c.Set(fiber.HeaderContentType, "application/problem+json")
	return nil
}

func asProblem(err error) *Problem {
	var p *Problem
	if errors.As(err, &p) {
		return p
	}
	var fe *fiber.Error
	if errors.As(err, &fe) {
		switch fe.Code {
		case http.StatusNotFound:
			return NotFound()
		case http.StatusMethodNotAllowed:
			return Fail(fe.Code, "web.error.method")
		case http.StatusRequestEntityTooLarge:
			return Fail(fe.Code, "web.error.too_large")
		case http.StatusRequestHeaderFieldsTooLarge, http.StatusBadRequest, http.StatusUnprocessableEntity:
			return Fail(fe.Code, "web.error.malformed")
		case http.StatusRequestTimeout:
			return Fail(fe.Code, "web.error.timeout")
		}
		if fe.Code >= 400 && fe.Code < 500 {
			return Fail(fe.Code, "web.error.malformed")
		}
	}
	if pg.IsLockTimeout(err) || pg.IsTimeout(err) {
		return Fail(http.StatusServiceUnavailable, "web.error.busy")
	}
	return Fail(http.StatusInternalServerError, "web.error.internal")
}

// wantsJSON: the API always answers JSON; a page's address does when asked.
func (c *Ctx) wantsJSON() bool {
	if strings.HasPrefix(c.Path(), "/api/") || strings.HasSuffix(c.Path(), ".json") {
		return true
	}
	accept := c.Get(fiber.HeaderAccept)
	return strings.Contains(accept, "application/json") && !strings.Contains(accept, "text/html")
}
