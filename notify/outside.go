package notify

import (
	"context"
	"net/http"
	"time"
)

// SMTP is the mail server that takes our e-mails.
type SMTP struct {
	Host     string // empty = no e-mail can be sent
	Port     int    // 0 = the usual one for TLS
	User     string // empty = no login
	Password string
	TLS      string // "mandatory" (STARTTLS; also when empty), "implicit", "none"
}

// Twilio is the account that sends SMS.
type Twilio struct {
	AccountSID string // empty = no SMS can be sent
	AuthToken  string
	From       string       // number or sender name
	Client     *http.Client // nil = one with a timeout; a RoundTripper redirects it elsewhere
}

// outside takes one message and returns the id by which it is known there.
// doubt is the time of an earlier attempt whose outcome is not known, or nil.
type outside interface {
	deliver(ctx context.Context, id string, m content, now time.Time, doubt *time.Time) (providerID string, err error)
}

// outsideError says what an unsuccessful attempt means. Its text is a code that
// may be stored and logged: no address, no name.
type outsideError struct {
	code    string
	forever bool // refused: trying again is useless
	doubt   bool // not known whether it was taken
}

func (e outsideError) Error() string { return e.code }

func refused(code string) error { return outsideError{code: code, forever: true} }
func later(code string) error   { return outsideError{code: code} }
func unsure(code string) error  { return outsideError{code: code, doubt: true} }

// mailbox is the outside of local runs: the row itself, read by /dev/mailbox.
type mailbox struct{}

func (mailbox) deliver(_ context.Context, id string, _ content, _ time.Time, _ *time.Time) (string, error) {
	return "mailbox:" + id, nil
}
