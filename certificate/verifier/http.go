package verifier

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-redis/redis_rate/v10"
	"github.com/gofiber/fiber/v2"

	"impfportal/certificate/dcc"
	"impfportal/internal/web"
	portal "impfportal/web"
)

//go:embed templates i18n
var files embed.FS

// Assets are this package's pages and texts.
var Assets = web.Bundle{Name: "verifier", FS: files}

// path is the page's address and the scope of its service worker.
const path = "/certificates/verify"

// tries bounds what one network lets the server check.
var tries = redis_rate.Limit{Rate: 30, Burst: 30, Period: time.Minute}

// maxText is more than a QR code holds, in characters.
const maxText = 5000

// Config is what the page needs from outside.
type Config struct {
	Signers func() []*x509.Certificate // the trust list
	// Authorities have signed the signers (CSCA).
	Authorities []*x509.Certificate
	// Distrusted lists the key ids of signers that do not count any more.
	Distrusted func(ctx context.Context) (kids [][]byte, err error)
	Revoked    func(ctx context.Context, uvci string, rHash []byte) (bool, error)
	Uploads    [][]byte // certificates that sign the batches of revocations (DER)
	// MaxAge is how old lists may be in the browser.
	MaxAge     time.Duration
	Production bool
	Limiter    *redis_rate.Limiter // nil = no bound
}

// Service is the page.
type Service struct {
	Config
	anchors string
	kidOf   func(*x509.Certificate) [8]byte
}

// New makes it.
func New(c Config) *Service {
	return &Service{Config: c, anchors: joined(anchors(c.Authorities, c.Signers())), kidOf: dcc.KID}
}

// Routes are the page, its service worker, and the way without JavaScript. The
// page is the same for everybody, since browsers keep it.
func (s *Service) Routes() []web.Route {
	return []web.Route{
		{Method: http.MethodGet, Path: path, Anonymous: true, Handle: func(c *web.Ctx) error {
			c.Set(fiber.HeaderCacheControl, "no-cache")
			return s.page(c, web.NewForm(), nil)
		}},
		{Method: http.MethodGet, Path: path + "/worker.js", Anonymous: true, Handle: worker},
		{Method: http.MethodPost, Path: path, CrossSite: true, Handle: s.post},
	}
}

// view is the page.
type view struct {
	Answer   *answer  // of the server, without JavaScript
	Reasons  []Reason // for the script
	Facts    []string // names of all facts, for the script
	Pins     string   // certificates that sign batches, as joined gives them
	Anchors  string   // those of which one has signed every signer
	MaxAge   int64    // milliseconds
	Shift    int64    // milliseconds that a demonstration's clock differs
	Products string   // JSON
}

// answer is the server's verdict.
type answer struct {
	Reason Reason
	Facts  []fact
}

// fact is one line of what a certificate says.
type fact struct{ Name, Value string }

// factNames are the lines, in their order; the script has the same names.
var factNames = []string{"name", "standard", "birth", "product", "dose", "day", "full_from", "missing", "issuer", "id", "until"}

func (s *Service) page(c *web.Ctx, f *web.Form, a *answer) error {
	v := view{Answer: a, Reasons: Reasons, Facts: factNames, MaxAge: s.MaxAge.Milliseconds(), Pins: joined(s.Uploads), Anchors: s.anchors}
	if c.Local() {
		v.Shift = int64(math.Round(time.Until(c.Now).Seconds())) * 1000
	}
	list, err := json.Marshal(products())
	if err != nil {
		return err
	}
	v.Products = string(list)
	c.AllowCamera()
	return c.PageForm("verifier/verify", f, v)
}

// joined writes certificates (DER) for the page: base64, separated by spaces.
func joined(certs [][]byte) string {
	out := make([]string, len(certs))
	for i, der := range certs {
		out[i] = base64.StdEncoding.EncodeToString(der)
	}
	return strings.Join(out, " ")
}

// anchors are the certificates with which the page holds the trust list: the
// authorities, and a signer itself whose authority's signature browsers cannot check.
func anchors(authorities, signers []*x509.Certificate) (out [][]byte) {
	for _, dsc := range signers {
		anchor := dsc
		for _, ca := range authorities {
			if checkable(dsc, ca) && dsc.CheckSignatureFrom(ca) == nil {
				anchor = ca
				break
			}
		}
		if !slices.ContainsFunc(out, func(der []byte) bool { return bytes.Equal(der, anchor.Raw) }) {
			out = append(out, anchor.Raw)
		}
	}
	return out
}

// checkable reports whether browsers can check an authority's signature; the
// script (chain.js) knows the same ways.
func checkable(dsc, ca *x509.Certificate) bool {
	switch dsc.SignatureAlgorithm {
	case x509.SHA256WithRSA, x509.SHA384WithRSA, x509.SHA512WithRSA:
		return true
	case x509.ECDSAWithSHA256, x509.ECDSAWithSHA384, x509.ECDSAWithSHA512:
		key, ok := ca.PublicKey.(*ecdsa.PublicKey)
		return ok && key.Curve != elliptic.P224()
	}
	return false
}

// product is what the page knows of a vaccine beside its codes.
type product struct {
	Name  string `json:"name"`
	Doses int    `json:"doses"` // of a full series
}

// products are keyed by the codes mp and vp of a certificate, with a space between:
// a name can change with the value sets.
func products() map[string]product {
	out := map[string]product{}
	for _, p := range dcc.Products() {
		out[p.Product+" "+p.Prophylaxis] = product{p.ProductName, p.Doses}
	}
	return out
}

func (s *Service) post(c *web.Ctx) error {
	c.Set(fiber.HeaderCacheControl, "no-store")
	if s.Limiter != nil {
		r, err := s.Limiter.Allow(c.Std(), "verifier:"+c.Network(), tries)
		if err != nil {
			return err
		}
		if r.Allowed == 0 {
			return web.Fail(http.StatusTooManyRequests, "verifier.error.too_many")
		}
	}
	f := c.Form()
	text := f.Get("text")
	if text == "" || len(text) > maxText {
		f.Fail("text", "verifier.error.text")
		return s.page(c, f, nil)
	}
	v, err := s.Check(c.Std(), text, c.Now)
	if err != nil {
		return err
	}
	a := &answer{Reason: v.Reason}
	if v.Decoded != nil {
		a.Facts = factsOf(c, v.Decoded)
	}
	return s.page(c, web.NewForm(), a)
}

// factsOf lists what a certificate says.
func factsOf(c *web.Ctx, d *dcc.Decoded) []fact {
	p := d.Claims.HCert.DCC
	e := p.V[0]
	codes := dcc.Describe(e)
	first := func(a, b string) string {
		if a != "" {
			return a
		}
		return b
	}
	values := map[string]string{
		"name":     strings.TrimSpace(first(p.Name.Given, p.Name.GivenStd) + " " + first(p.Name.Family, p.Name.FamilyStd)),
		"standard": strings.Join(strings.Fields(strings.ReplaceAll(p.Name.GivenStd+" "+p.Name.FamilyStd, "<", " ")), " "),
		"birth":    asOnCard(p.Birth), "product": codes.ProductName, "dose": fmt.Sprintf("%d %s %d", e.Dose, c.T("verifier.of"), e.Doses),
		"issuer": e.Issuer, "id": e.ID, "day": asOnCard(e.Date), "until": asOnCard(time.Unix(d.Claims.ExpiresAt, 0).UTC().Format(time.DateOnly)),
	}
	// Of the dose that completes the first series; before a booster they were already.
	if day, err := time.Parse(time.DateOnly, e.Date); err == nil && e.Dose == e.Doses && e.Dose <= 2 {
		wait := 15 // section 2 no. 3 SchAusnahmV
		if e.Doses == 1 && codes.Doses == 2 {
			wait = 0 // one dose after an infection
		}
		values["full_from"] = asOnCard(day.AddDate(0, 0, wait).Format(time.DateOnly))
	}
	if e.Dose < e.Doses {
		values["missing"] = c.T("verifier.yes")
	}
	var out []fact
	for _, name := range factNames {
		if values[name] != "" {
			out = append(out, fact{name, values[name]})
		}
	}
	return out
}

// asOnCard writes an ISO day, as far as it is known, as identity cards do.
func asOnCard(day string) string {
	parts := strings.Split(day, "-")
	for i, j := 0, len(parts)-1; i < j; i, j = i+1, j-1 {
		parts[i], parts[j] = parts[j], parts[i]
	}
	return strings.Join(parts, ".")
}

// modules are what the page runs and shows; its service worker keeps them.
var modules = []string{
	"app.css", "kern.css", "icon.svg", "fonts/FiraSans-Regular.woff2", "fonts/FiraSans-Medium.woff2", "fonts/FiraSans-SemiBold.woff2",
	"qr/decode.js", "qr/index.js", "fflate.js",
	"verifier/cbor.js", "verifier/chain.js", "verifier/check.js", "verifier/cose.js", "verifier/dcc.js", "verifier/der.js", "verifier/lists.js", "verifier/page.js", "verifier/picture.js",
	"verifier/refusal.js", "verifier/store.js", "verifier/text.js",
}

// worker is the service worker. It changes with every version of the files, so
// that browsers fetch all of them together.
func worker(c *web.Ctx) error {
	script, err := portal.Files.ReadFile("static/verifier/worker.js")
	if err != nil {
		return err
	}
	list := make([]string, len(modules))
	for i, name := range modules {
		list[i] = c.Asset(name)
	}
	lang := c.Lang // of the page that asks: workers have no language of their own
	if l := c.Query("lang"); slices.Contains(web.Languages, l) {
		lang = l
	}
	kept, err := json.Marshal(map[string]any{"page": path, "lang": lang, "base": c.Asset(""), "files": list})
	if err != nil {
		return err
	}
	c.Set(fiber.HeaderContentType, "text/javascript; charset=utf-8")
	c.Set(fiber.HeaderCacheControl, "no-cache")
	c.Set("Service-Worker-Allowed", path)
	return c.SendString("const kept = " + string(kept) + ";\n" + string(script))
}
