package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"

	"impfportal/internal/shareddata"
)

const (
	testSID   = "AC00000000000000000000000000000001"
	testToken = "token"
)

// twilioStandIn is a small server that answers like Twilio. Every request and
// every answer is held against Twilio's published description.
type twilioStandIn struct {
	*httptest.Server
	router routers.Router

	mu       sync.Mutex
	messages []map[string]any
	now      func() time.Time
	// fail answers a POST instead of taking it; swallow takes it and lets the
	// answer be lost.
	fail    func() (status, code int)
	swallow func() bool
	bad     []string
}

func startTwilio(t *testing.T, now func() time.Time) *twilioStandIn {
	t.Helper()
	s := &twilioStandIn{now: now, router: twilioRouter(t)}
	s.Server = httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(func() {
		s.Close()
		for _, b := range s.bad {
			t.Errorf("against Twilio's description: %s", b)
		}
	})
	return s
}

// client sends everything that is meant for api.twilio.com to the stand-in.
func (s *twilioStandIn) client() *http.Client {
	target, _ := url.Parse(s.URL)
	return &http.Client{Timeout: 5 * time.Second, Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		if r.URL.Host != "api.twilio.com" || r.URL.Scheme != "https" {
			return nil, fmt.Errorf("unexpected address %s", r.URL)
		}
		r = r.Clone(r.Context())
		r.Header.Set("X-Forwarded-Host", r.URL.Host)
		r.URL.Scheme, r.URL.Host, r.Host = target.Scheme, target.Host, target.Host
		return http.DefaultTransport.RoundTrip(r)
	})}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func (s *twilioStandIn) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	input := s.validate(r, body)
	user, password, _ := r.BasicAuth()
	if user != testSID || password != testToken {
		s.answer(w, nil, http.StatusUnauthorized, map[string]any{"code": 20003, "message": "Authenticate", "status": 401})
		return
	}
	if r.Method == http.MethodGet {
		list := []map[string]any{}
		for _, m := range s.messages {
			if m["to"] == r.URL.Query().Get("To") {
				list = append(list, m)
			}
		}
		s.answer(w, input, http.StatusOK, map[string]any{"messages": list, "page": 0, "page_size": 100, "next_page_uri": nil})
		return
	}
	if s.fail != nil {
		if status, code := s.fail(); status != 0 {
			s.answer(w, nil, status, map[string]any{"code": code, "message": "no: +4915123456789", "status": status})
			return
		}
	}
	form, _ := url.ParseQuery(string(body))
	m := map[string]any{
		"sid": fmt.Sprintf("SM%032x", len(s.messages)+1), "account_sid": testSID, "to": form.Get("To"), "from": form.Get("From"), "body": form.Get("Body"),
		"date_created": s.now().UTC().Format(time.RFC1123Z), "status": "queued", "direction": "outbound-api", "num_segments": "1",
	}
	s.messages = append(s.messages, m)
	if s.swallow != nil && s.swallow() {
		hijacked, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			_ = hijacked.Close()
		}
		return
	}
	s.answer(w, input, http.StatusCreated, m)
}

func (s *twilioStandIn) validate(r *http.Request, body []byte) *openapi3filter.RequestValidationInput {
	r = r.Clone(r.Context())
	r.URL.Scheme, r.URL.Host, r.Host = "https", "api.twilio.com", "api.twilio.com"
	r.Body = io.NopCloser(bytes.NewReader(body))
	route, params, err := s.router.FindRoute(r)
	if err != nil {
		s.bad = append(s.bad, err.Error())
		return nil
	}
	input := &openapi3filter.RequestValidationInput{
		Request: r, PathParams: params, Route: route,
		Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc},
	}
	if err := openapi3filter.ValidateRequest(context.Background(), input); err != nil {
		s.bad = append(s.bad, err.Error())
	}
	return input
}

func (s *twilioStandIn) answer(w http.ResponseWriter, input *openapi3filter.RequestValidationInput, status int, v any) {
	b, _ := json.Marshal(v)
	header := http.Header{"Content-Type": {"application/json"}}
	if input != nil {
		out := &openapi3filter.ResponseValidationInput{RequestValidationInput: input, Status: status, Header: header}
		if err := openapi3filter.ValidateResponse(context.Background(), out.SetBodyBytes(b)); err != nil {
			s.bad = append(s.bad, "the stand-in itself: "+err.Error())
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(b)
}

func (s *twilioStandIn) sent() []map[string]any {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]map[string]any(nil), s.messages...)
}

// twilioRouter loads Twilio's description, cut to the one path used here.
func twilioRouter(t *testing.T) routers.Router {
	t.Helper()
	raw, err := os.ReadFile(shareddata.Path(t, "twilio/twilio_api_v2010.json"))
	if err != nil {
		t.Fatal(err)
	}
	var doc map[string]any
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	const path = "/2010-04-01/Accounts/{AccountSid}/Messages.json"
	doc["paths"] = map[string]any{path: doc["paths"].(map[string]any)[path]}
	components := doc["components"].(map[string]any)
	all := components["schemas"].(map[string]any)
	kept := map[string]any{}
	for todo := []any{doc["paths"]}; len(todo) > 0; {
		var next []any
		b, _ := json.Marshal(todo)
		for name, schema := range all {
			if kept[name] == nil && strings.Contains(string(b), `"#/components/schemas/`+name+`"`) {
				kept[name] = schema
				next = append(next, schema)
			}
		}
		todo = next
	}
	components["schemas"] = kept
	cut, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	spec, err := openapi3.NewLoader().LoadFromData(cut)
	if err != nil {
		t.Fatal(err)
	}
	router, err := gorillamux.NewRouter(spec)
	if err != nil {
		t.Fatal(err)
	}
	return router
}
