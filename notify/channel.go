package notify

import "net/http"

// SMTP is the mail server that takes our e-mails.
type SMTP struct {
	Host     string // empty = no e-mail can be sent
	Port     int
	User     string // empty = no login
	Password string
	TLS      string // "mandatory" (STARTTLS, the default), "implicit", "none"
}

// Twilio is the account that sends SMS.
type Twilio struct {
	AccountSID string // empty = no SMS can be sent
	AuthToken  string
	From       string       // number or sender name
	Client     *http.Client // nil = one with a timeout; tests redirect it with a RoundTripper
}
