package notify

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/nyaruka/phonenumbers"
	"github.com/twilio/twilio-go/client"
	twilio "github.com/twilio/twilio-go/rest/api/v2010"
)

const smsTimeout = 15 * time.Second

// twilioOutside sends SMS over Twilio's API of 2010-04-01. It is the only place
// that knows Twilio.
type twilioOutside struct {
	cfg Twilio
	api *twilio.ApiService
	// taken tells which of the provider's ids other messages have already.
	taken func(ctx context.Context, ids []string) (map[string]bool, error)
}

func newTwilio(cfg Twilio, taken func(ctx context.Context, ids []string) (map[string]bool, error)) *twilioOutside {
	o := &twilioOutside{cfg: cfg, taken: taken}
	if cfg.AccountSID == "" {
		return o
	}
	hc := cfg.Client
	if hc == nil {
		hc = &http.Client{Timeout: smsTimeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	base := &client.Client{Credentials: client.NewCredentials(cfg.AccountSID, cfg.AuthToken), HTTPClient: hc}
	base.SetAccountSid(cfg.AccountSID)
	o.api = twilio.NewApiService(client.NewRequestHandler(base))
	return o
}

func (o *twilioOutside) deliver(ctx context.Context, _ string, m content, _ time.Time, doubt *time.Time) (string, error) {
	if o.api == nil {
		return "", later("sms not set up")
	}
	if doubt != nil {
		sid, err := o.lookUp(ctx, m, *doubt)
		if sid != "" || err != nil {
			return sid, err
		}
	}
	p := &twilio.CreateMessageParams{}
	p.SetTo(m.Phone).SetFrom(o.cfg.From).SetBody(m.Text)
	got, err := o.api.CreateMessage(p)
	if err != nil {
		return "", smsError(err)
	}
	if got.Sid == nil || *got.Sid == "" {
		return "", unsure("sms no id")
	}
	return *got.Sid, nil
}

// lookUp asks whether an attempt whose answer was lost arrived after all. The
// list is filtered by number alone: a message that still waits at the provider
// has no sending date to filter by.
func (o *twilioOutside) lookUp(ctx context.Context, m content, since time.Time) (string, error) {
	p := &twilio.ListMessageParams{}
	p.SetTo(m.Phone).SetPageSize(100).SetLimit(100)
	list, err := o.api.ListMessage(p)
	if err != nil {
		return "", unsure("sms look-up")
	}
	var candidates []string
	for _, x := range list {
		if x.Sid == nil || x.Body == nil || x.DateCreated == nil || *x.Body != m.Text {
			continue
		}
		if at, err := time.Parse(time.RFC1123Z, *x.DateCreated); err != nil || at.Before(since.Add(-2*time.Minute)) {
			continue
		}
		candidates = append(candidates, *x.Sid)
	}
	if len(candidates) == 0 {
		return "", nil
	}
	taken, err := o.taken(ctx, candidates)
	if err != nil {
		return "", err
	}
	for _, sid := range candidates {
		if !taken[sid] {
			return sid, nil
		}
	}
	return "", nil
}

// smsError sorts what the provider says: refused for ever, refused for now, or
// not known whether it was taken. The words are dropped, they hold the number.
func smsError(err error) error {
	var rest *client.TwilioRestError
	if !errors.As(err, &rest) {
		return unsure("sms unreachable")
	}
	text := fmt.Sprintf("sms %d/%d", rest.Status, rest.Code)
	switch {
	case rest.Status == http.StatusTooManyRequests, rest.Status == http.StatusUnauthorized, rest.Status == http.StatusForbidden:
		return later(text)
	case rest.Status >= 400 && rest.Status < 500:
		return refused(text)
	default:
		return unsure(text)
	}
}

// CanText tells whether an SMS can reach a number (E.164): a mobile one. A
// German landline would read it out by voice, or drop it.
func CanText(phone string) bool {
	n, err := phonenumbers.Parse(phone, "ZZ")
	if err != nil || !phonenumbers.IsValidNumber(n) {
		return false
	}
	switch phonenumbers.GetNumberType(n) {
	case phonenumbers.MOBILE, phonenumbers.FIXED_LINE_OR_MOBILE:
		return true
	}
	return false
}
