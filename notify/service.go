package notify

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"impfportal/internal/clock"
	"impfportal/internal/id"
	"impfportal/internal/pdf"
	"impfportal/internal/vault"
)

// Config is what a Service needs.
type Config struct {
	Pool  *pgxpool.Pool
	Vault *vault.Vault
	Now   clock.Clock
	// Local keeps everything on this machine: messages end on /dev/mailbox.
	Local bool
	// Sender is the letterhead and return address of letters: name, street,
	// postcode and city.
	Sender []string
	From   string // From of e-mails, as "Impfportal <termin@example.org>"
	SMTP   SMTP
	Twilio Twilio
	// BaseURL is how the outside reaches this portal ("https://...", no slash at
	// the end): it is part of what Twilio signs.
	BaseURL string
	// Inbound takes an SMS that somebody sent to us and returns what to reply, ""
	// = nothing. It may be called more than once for the same one. cmd hands it
	// over; nil = nobody reads them.
	Inbound func(ctx context.Context, from, text string) (reply string, err error)
}

// Service sends messages.
type Service struct {
	cfg  Config
	mail outside
	sms  outside
}

// New makes a service. Without an SMTP server or a Twilio account (and not
// local) messages of that kind wait and fail after a day, visibly.
func New(cfg Config) *Service {
	s := &Service{cfg: cfg, mail: mailbox{}, sms: mailbox{}}
	if !cfg.Local {
		s.mail = smtpOutside{cfg: cfg.SMTP, from: cfg.From}
		s.sms = newTwilio(cfg.Twilio, s.takenIDs)
	}
	return s
}

// Sender is the letterhead that letters of other slices use as well.
func (s *Service) Sender() []string { return s.cfg.Sender }

// content is what is sealed in a row.
type content struct {
	Email       string       `json:"email,omitempty"`
	Phone       string       `json:"phone,omitempty"`
	Postal      *Address     `json:"postal,omitempty"`
	Lang        string       `json:"lang,omitempty"`
	Subject     string       `json:"subject,omitempty"`
	Text        string       `json:"text,omitempty"`
	Attachments []Attachment `json:"attachments,omitempty"`
	PDF         []byte       `json:"pdf,omitempty"`
}

// sealContext binds a sealed content to its row.
func sealContext(messageID string) string { return "notify.message " + messageID }

// way is one row to be.
type way struct {
	channel string
	content content
	size    Size
	failed  string // why it cannot go at all
}

// ways decides how a message goes: e-mail and SMS both where both are known
// and there is something to say; a letter when neither goes, or when asked for.
func ways(to Recipient, m Message) ([]way, error) {
	var out []way
	base := content{Lang: to.Lang, Subject: oneLine(m.Subject)}
	if mail, ok := cleanEmail(to.Email); ok && m.Text != "" {
		c := base
		c.Email, c.Text, c.Attachments = mail, m.Text, m.Attachments
		out = append(out, way{channel: ChannelEmail, content: c})
	}
	if m.SMS != "" && CanText(to.Phone) {
		c := content{Lang: to.Lang, Phone: to.Phone, Text: smsText(m.SMS)}
		if n := len([]rune(c.Text)); n > maxSMS {
			return nil, fmt.Errorf("%w: %d characters", ErrTooLong, n)
		}
		out = append(out, way{channel: ChannelSMS, content: c, size: Segments(c.Text)})
	}
	if !m.ByPost && len(out) > 0 {
		return out, nil
	}
	sayable := len(m.Letter) > 0 || m.Text != ""
	switch {
	case to.Postal.Complete() && sayable:
		c := base
		c.Postal, c.PDF, c.Text = to.Postal, m.Letter, m.Text
		out = append(out, way{channel: ChannelLetter, content: c})
	case m.ByPost:
		out = append(out, way{channel: ChannelNone, content: base, failed: "no postal address"})
	default:
		out = append(out, way{channel: ChannelNone, content: base, failed: "unreachable"})
	}
	return out, nil
}

// Send stores the message for every way it goes, and the tasks that deliver
// it, in tx: e-mail and SMS both when both are known; a letter when neither is,
// or when m.ByPost. That nobody can be reached is no error: such a row fails
// where staff see it. It returns vault.ErrDestroyed when the person is deleted,
// and ErrTooLong. Without a KeyID the message outlives the person's key: see
// Recipient.
func (s *Service) Send(ctx context.Context, tx pgx.Tx, to Recipient, m Message) error {
	key, err := s.keyFor(ctx, tx, to.KeyID)
	if err != nil {
		return fmt.Errorf("notify %s: %w", m.Kind, err)
	}
	list, err := ways(to, m)
	if err != nil {
		return fmt.Errorf("notify %s: %w", m.Kind, err)
	}
	now := s.cfg.Now().UTC()
	for _, w := range list {
		if err := s.insert(ctx, tx, key, to.KeyID == "", m, w, now); err != nil {
			return fmt.Errorf("notify %s by %s: %w", m.Kind, w.channel, err)
		}
	}
	return nil
}

// keyFor opens the person's key, or makes one that all ways of a message share.
func (s *Service) keyFor(ctx context.Context, tx pgx.Tx, keyID string) (vault.Key, error) {
	if keyID == "" {
		return s.cfg.Vault.NewKey(ctx, tx)
	}
	return s.cfg.Vault.Open(ctx, tx, keyID)
}

func (s *Service) insert(ctx context.Context, tx pgx.Tx, key vault.Key, own bool, m Message, w way, now time.Time) error {
	if w.channel == ChannelLetter && len(w.content.PDF) == 0 {
		letter, err := s.plainLetter(w.content, now)
		if errors.Is(err, pdf.ErrAddress) {
			w.channel, w.failed = ChannelNone, "address does not fit the window"
		} else if err != nil {
			return err
		}
		w.content.PDF = letter
	}
	mid := id.New()
	sealed, err := key.SealJSON(sealContext(mid), w.content)
	if err != nil {
		return err
	}
	state, done := StateQueued, (*time.Time)(nil)
	if w.failed != "" {
		state, done = StateFailed, &now
	}
	parts := 1
	if w.channel == ChannelSMS {
		parts = w.size.Parts
	}
	_, err = tx.Exec(ctx, `
		INSERT INTO notify.message (id, key_id, own_key, kind, channel, state, sealed, coding, parts, error, created_at, queued_at, done_at, guarded)
		VALUES ($1, $2, $12, $3, $4, $5, $6, $7, $8, $9, $10, $10, $11, $13)`,
		mid, key.ID, m.Kind, w.channel, state, sealed, w.size.Coding, parts, w.failed, now, done, own, m.Guarded && w.channel == ChannelLetter)
	if err != nil || state == StateFailed || w.channel == ChannelLetter {
		return err
	}
	return Deliver.Enqueue(ctx, tx, DeliverPayload{MessageID: mid})
}

// plainLetter makes a letter of a message that has none of its own.
func (s *Service) plainLetter(c content, now time.Time) ([]byte, error) {
	return pdf.Letter(pdf.LetterSpec{
		Lang: c.Lang, Created: now, Sender: s.cfg.Sender, Recipient: c.Postal.Lines(),
		Date: letterDate(c.Lang, now), Subject: c.Subject, Blocks: pdf.Texts(c.Text),
	})
}

// letterDate is a date as letters carry it.
func letterDate(lang string, t time.Time) string {
	t = t.In(clock.Berlin)
	if lang == "en" {
		return t.Format("2 January 2006")
	}
	months := [...]string{"Januar", "Februar", "März", "April", "Mai", "Juni", "Juli", "August", "September", "Oktober", "November", "Dezember"}
	return fmt.Sprintf("%d. %s %d", t.Day(), months[t.Month()-1], t.Year())
}
