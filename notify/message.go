package notify

import (
	"errors"
	"strings"
)

// Recipient is where a person can be reached. Everything is optional.
type Recipient struct {
	// KeyID is the person's vault key: the message is sealed under it and ends
	// with it. Empty for somebody whose registration ends in this moment: the
	// message gets a key of its own, which ends with the message.
	KeyID  string
	Email  string
	Phone  string   // E.164, as +4934112345; SMS go to mobile numbers only
	Postal *Address // nil when not known
	Lang   string   // "de" or "en"
}

// Address is a postal address. Country is empty (or "DE") inside Germany, else
// the country's name as it is to stand in the last line.
type Address struct {
	Name     string `json:"name"`
	Extra    string `json:"extra,omitempty"` // c/o, flat, ward
	Street   string `json:"street"`
	Postcode string `json:"postcode"`
	City     string `json:"city"`
	Country  string `json:"country,omitempty"`
}

// Complete tells whether a letter can be sent there.
func (a *Address) Complete() bool {
	return a != nil && a.Name != "" && a.Street != "" && a.Postcode != "" && a.City != ""
}

// Lines is the address as DIN 5008 wants it: no empty lines, the country last,
// in capitals, and only abroad.
func (a Address) Lines() []string {
	var out []string
	for _, l := range []string{a.Name, a.Extra, a.Street, strings.TrimSpace(a.Postcode + " " + a.City)} {
		if l = oneLine(l); l != "" {
			out = append(out, l)
		}
	}
	switch c := strings.ToUpper(oneLine(a.Country)); c {
	case "", "DE", "DEUTSCHLAND", "GERMANY":
	default:
		out = append(out, c)
	}
	return out
}

// Message is what is to be said, ready in the recipient's language. A part that
// is empty is not sent: without Text no e-mail, without SMS no SMS.
type Message struct {
	Kind        string // what it is about, as "booking.confirmed": seen by staff and figures, never personal
	Subject     string
	Text        string // plain text of the e-mail (and of the letter, when Letter is empty)
	SMS         string
	Attachments []Attachment // of the e-mail
	Letter      []byte       // PDF ready to print; empty = a plain letter is made of Subject and Text
	ByPost      bool         // a letter in any case, not only when nothing else is known
	Guarded     bool         // the letter gives rights over others: see Printer
}

// Attachment is a file that goes with an e-mail.
type Attachment struct {
	Name        string `json:"name"`
	ContentType string `json:"content_type"`
	Body        []byte `json:"body"`
}

// The ways a message can go.
const (
	ChannelEmail  = "email"
	ChannelSMS    = "sms"
	ChannelLetter = "letter"
	ChannelNone   = "none" // nobody can be reached this way: shown to staff as failed
)

// The states of a row; see the package comment.
const (
	StateQueued  = "queued"
	StateSending = "sending"
	StateSent    = "sent"
	StatePrinted = "printed"
	StateFailed  = "failed"
	StateVoid    = "void"
)

var (
	// ErrTooLong says that an SMS has more than 1,600 characters (ten parts).
	ErrTooLong = errors.New("notify: SMS too long")
	// ErrNotFound says that there is no such message, or not in a state that allows it.
	ErrNotFound = errors.New("notify: no such message")
)

// oneLine drops everything that could begin a new line or a new header.
func oneLine(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool {
		return r < 0x20 || r == 0x7f || r == 0x85 || r == 0x2028 || r == 0x2029 || r == ' '
	}), " ")
}
