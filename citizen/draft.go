package citizen

import (
	"bytes"
	"compress/flate"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"
	"golang.org/x/crypto/chacha20poly1305"

	"impfportal/internal/id"
	"impfportal/internal/vault"
	"impfportal/internal/web"
)

// An unfinished registration lies nowhere but in the browser that fills it in:
// sealed by the server (XChaCha20-Poly1305), in cookies that go only to the
// address of this one registration (/register/<flow>). So reloading, going
// back and a second registration in another tab lose nothing and mix nothing,
// and the database learns of a person only at the end.
//
// The draft is made behind the waiting room's gate and is the proof of it: the
// steps after the first ask for the draft, not for the pass, so a pass that
// runs out while somebody looks for the postcode costs nothing. It ends an
// hour after the last step and four hours after the first, and it is good for
// one person (its PersonID is the primary key of the registration).
const (
	draftIdle  = time.Hour
	draftTotal = 4 * time.Hour
	doneTTL    = 30 * time.Minute // how long the page with the login data can be shown

	cookieChunk  = 3500
	cookieChunks = 3
	maxAnswer    = 1000 // bytes of one typed value that is carried along
)

// errDraft says that there is no draft, or none that is valid.
var errDraft = errors.New("citizen: no draft")

// draft is a registration under way.
type draft struct {
	Flow     string            `json:"-"`
	PersonID string            `json:"p"`
	Case     string            `json:"c"`
	Secret   string            `json:"s"`
	Started  time.Time         `json:"t"`
	Seen     time.Time         `json:"u"`
	Done     bool              `json:"d,omitempty"` // registered: only the login data is left
	Answers  map[string]string `json:"a,omitempty"` // typed values by field
}

type drafts struct {
	aead      cipher.AEAD
	secretKey []byte // MAC key of secrets, derived once
}

func newDrafts(v *vault.Vault) *drafts {
	a, err := chacha20poly1305.NewX(v.Derive("citizen draft"))
	if err != nil {
		panic(err) // only for a wrong key size
	}
	return &drafts{aead: a, secretKey: v.Derive("citizen secret")}
}

func newDraft(now time.Time) draft {
	raw := make([]byte, 9)
	_, _ = rand.Read(raw) // never fails (Go 1.24 and later)
	return draft{
		Flow: base64.RawURLEncoding.EncodeToString(raw), PersonID: id.New(), Case: newCaseNumber(), Secret: newSecret(),
		Started: now, Seen: now, Answers: map[string]string{},
	}
}

// seal returns the draft as text for cookies.
func (k *drafts) seal(d draft) (string, error) {
	plain, err := json.Marshal(d)
	if err != nil {
		return "", err
	}
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, flate.BestCompression) // the level is a constant
	if _, err := w.Write(plain); err != nil {
		return "", err
	}
	if err := w.Close(); err != nil {
		return "", err
	}
	nonce := make([]byte, k.aead.NonceSize(), k.aead.NonceSize()+b.Len()+k.aead.Overhead())
	_, _ = rand.Read(nonce)
	out := base64.RawURLEncoding.EncodeToString(k.aead.Seal(nonce, nonce, b.Bytes(), []byte(d.Flow)))
	if len(out) > cookieChunk*cookieChunks {
		return "", errors.New("citizen: draft too large")
	}
	return out, nil
}

// open reads what seal made, or returns errDraft.
func (k *drafts) open(flow, sealed string, now time.Time) (draft, error) {
	if len(sealed) > cookieChunk*cookieChunks {
		return draft{}, errDraft
	}
	raw, err := base64.RawURLEncoding.DecodeString(sealed)
	if err != nil || len(raw) < k.aead.NonceSize() {
		return draft{}, errDraft
	}
	n := k.aead.NonceSize()
	packed, err := k.aead.Open(nil, raw[:n], raw[n:], []byte(flow))
	if err != nil {
		return draft{}, errDraft
	}
	plain, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(packed)), 64<<10))
	if err != nil {
		return draft{}, errDraft
	}
	d := draft{Flow: flow}
	if json.Unmarshal(plain, &d) != nil {
		return draft{}, errDraft
	}
	idle, total := draftIdle, draftTotal
	if d.Done {
		idle, total = doneTTL, doneTTL
	}
	if now.Sub(d.Seen) > idle || now.Sub(d.Started) > total {
		return draft{}, errDraft
	}
	if d.Answers == nil {
		d.Answers = map[string]string{}
	}
	return d, nil
}

func validFlow(flow string) bool {
	return len(flow) == 12 && strings.Trim(flow, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") == ""
}

// keepDraft stores d in the browser; forgetDraft removes it.
func (s *Service) keepDraft(c *web.Ctx, d draft) error {
	sealed, err := s.drafts.seal(d)
	if err != nil {
		return err
	}
	ttl := draftIdle
	if d.Done {
		ttl = doneTTL
	}
	for i := range cookieChunks {
		part := sealed[min(i*cookieChunk, len(sealed)):min((i+1)*cookieChunk, len(sealed))]
		if part != "" || draftCookie(c, d.Flow, i) != "" {
			setDraftCookie(c, d.Flow, i, part, ttl)
		}
	}
	return nil
}

func (s *Service) forgetDraft(c *web.Ctx, flow string) {
	for i := range cookieChunks {
		if draftCookie(c, flow, i) != "" {
			setDraftCookie(c, flow, i, "", 0)
		}
	}
}

// loadDraft returns the draft of the flow in the address, or errDraft.
func (s *Service) loadDraft(c *web.Ctx) (draft, error) {
	flow := c.Params("flow")
	if !validFlow(flow) {
		return draft{}, errDraft
	}
	var sealed strings.Builder
	for i := range cookieChunks {
		sealed.WriteString(draftCookie(c, flow, i))
	}
	return s.drafts.open(flow, sealed.String(), c.Now)
}

func draftCookieName(c *web.Ctx, flow string, i int) string {
	name := "reg-" + flow + "-" + strconv.Itoa(i)
	if !c.Local() {
		name = "__Secure-" + name
	}
	return name
}

func draftCookie(c *web.Ctx, flow string, i int) string {
	return c.Cookies(draftCookieName(c, flow, i))
}

func setDraftCookie(c *web.Ctx, flow string, i int, value string, ttl time.Duration) {
	ck := &fiber.Cookie{
		Name: draftCookieName(c, flow, i), Value: value, Path: "/register/" + flow, HTTPOnly: true,
		Secure: !c.Local(), SameSite: fiber.CookieSameSiteLaxMode, MaxAge: int(ttl.Seconds()),
	}
	if value == "" {
		ck.MaxAge, ck.Expires = -1, time.Unix(1, 0)
	}
	c.Ctx.Cookie(ck)
}
