package certify

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"impfportal/internal/pg"
	"impfportal/internal/web"
)

// call is one request, whichever listener took it.
type call struct {
	*http.Request

	body    []byte
	realm   string
	network string // where it comes from, for limits
}

// lang is the language of what is said to the caller.
func (c *call) lang() string {
	if strings.HasPrefix(strings.ToLower(c.Header.Get("Accept-Language")), "en") {
		return "en"
	}
	return "de"
}

// answer is what goes back.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func reply(status int, contentType string, body []byte) *answer {
	a := &answer{status, http.Header{"Cache-Control": {"no-store"}}, body}
	if contentType != "" {
		a.header.Set("Content-Type", contentType)
	}
	return a
}

// with adds a header.
func (a *answer) with(name, value string) *answer {
	a.header.Set(name, value)
	return a
}

func replyJSON(status int, v any) (*answer, error) {
	b, err := json.Marshal(v)
	return reply(status, "application/json", b), err
}

// refusal is an error that is told to the caller.
type refusal struct {
	status int
	key    string // of the text
	args   []any  // alternating name, value
	field  string // of the body or a header, "" = none
	after  time.Duration
	data   map[string]any
	oauth  string // error code of RFC 6749 where the caller expects that form
}

func refuse(status int, key string, args ...any) *refusal {
	return &refusal{status: status, key: key, args: args}
}

func (r *refusal) Error() string { return fmt.Sprintf("%d %s %s", r.status, r.key, r.field) }

// at names the field that the refusal is about.
func (r *refusal) at(field string) *refusal { r.field = field; return r }

// later says when to come again.
func (r *refusal) later(d time.Duration) *refusal { r.after = max(d, time.Second); return r }

// grant gives the refusal the form of RFC 6749.
func (r *refusal) grant(code string) *refusal { r.oauth = code; return r }

// handler is the business of one address.
type handler func(c *call) (*answer, error)

// serve runs a handler; every error becomes an answer here.
func (s *Service) serve(c *call, h handler) *answer {
	a, err := h(c)
	if err == nil {
		return a
	}
	ref := rand.Text()[:8]
	var r *refusal
	switch {
	case errors.As(err, &r):
	case pg.IsLockTimeout(err), pg.IsTimeout(err):
		r = refuse(http.StatusServiceUnavailable, "certify.error.busy").later(5 * time.Second)
	default:
		r = refuse(http.StatusInternalServerError, "certify.error.internal")
	}
	level := slog.LevelInfo
	if r.status == http.StatusInternalServerError {
		level = slog.LevelError
	}
	s.Log.Log(c.Context(), level, "request refused", "ref", ref, "status", r.status, "path", c.Pattern, "err", err.Error())
	return r.answer(c, ref)
}

func (r *refusal) answer(c *call, ref string) *answer {
	title := texts.Say(c.lang(), r.key, r.args...)
	var (
		v           any
		contentType = "application/problem+json"
	)
	if r.oauth != "" {
		v, contentType = map[string]string{"error": r.oauth, "error_description": title, "reference": ref}, "application/json"
	} else {
		p := web.ProblemJSON{Type: "urn:impfportal:problem:" + r.key, Title: title, Status: r.status, Ref: ref}
		if r.field != "" {
			p.Errors = []web.ProblemFieldJSON{{Field: r.field, Code: r.key, Detail: title}}
		}
		if r.data != nil {
			p.Extra = r.data
		}
		v = p
	}
	b, err := json.Marshal(v)
	if err != nil {
		b = nil // what is written here always encodes
	}
	a := reply(r.status, contentType, b)
	if r.after > 0 {
		a.with("Retry-After", strconv.Itoa(int(math.Ceil(r.after.Seconds()))))
	}
	if r.status == http.StatusUnauthorized {
		a.with("WWW-Authenticate", "Bearer")
	}
	return a
}
