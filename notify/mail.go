package notify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	netmail "net/mail"
	"strings"
	"time"

	"github.com/wneessen/go-mail"
)

const smtpTimeout = 20 * time.Second

// smtpOutside sends e-mail. It dials for each message: a campaign's peaks are
// the provider's to smooth, and a connection kept open hides a dead server.
type smtpOutside struct {
	cfg  SMTP
	from string
}

// build makes the e-mail. Nothing in it can begin a header: subject and names
// are folded into one line and encoded (RFC 2047), the address has one
// addr-spec or is refused.
func (o smtpOutside) build(id string, m content, now time.Time) (*mail.Msg, error) {
	msg := mail.NewMsg(mail.WithNoDefaultUserAgent())
	if err := msg.From(o.from); err != nil {
		return nil, fmt.Errorf("from address: %w", err)
	}
	to, ok := cleanEmail(m.Email)
	if !ok {
		return nil, refused("address")
	}
	if err := msg.To(to); err != nil {
		return nil, refused("address")
	}
	msg.Subject(oneLine(m.Subject))
	msg.SetDateWithValue(now)
	msg.SetMessageIDWithValue(id + "@" + o.domain())
	msg.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834: no holiday notes back
	if m.Lang != "" {
		msg.SetGenHeader("Content-Language", oneLine(m.Lang))
	}
	msg.SetBodyString(mail.TypeTextPlain, m.Text)
	for _, a := range m.Attachments {
		err := msg.AttachReader(fileName(a.Name), bytes.NewReader(a.Body), mail.WithFileContentType(mail.ContentType(oneLine(a.ContentType))))
		if err != nil {
			return nil, fmt.Errorf("attachment: %w", err)
		}
	}
	return msg, nil
}

func (o smtpOutside) domain() string {
	if a, err := netmail.ParseAddress(o.from); err == nil {
		if _, d, ok := strings.Cut(a.Address, "@"); ok {
			return d
		}
	}
	return "localhost"
}

func (o smtpOutside) deliver(ctx context.Context, id string, m content, now time.Time, _ *time.Time) (string, error) {
	if o.cfg.Host == "" {
		return "", later("smtp not set up")
	}
	msg, err := o.build(id, m, now)
	if err != nil {
		return "", err
	}
	opts := []mail.Option{mail.WithTimeout(smtpTimeout), mail.WithHELO(o.domain()), mail.WithoutNoop()}
	switch o.cfg.TLS {
	case "none":
		opts = append(opts, mail.WithTLSPolicy(mail.NoTLS))
	case "implicit":
		opts = append(opts, mail.WithSSL())
	default:
		opts = append(opts, mail.WithTLSPolicy(mail.TLSMandatory))
	}
	if o.cfg.Port != 0 {
		opts = append(opts, mail.WithPort(o.cfg.Port))
	}
	if o.cfg.User != "" {
		opts = append(opts, mail.WithSMTPAuth(mail.SMTPAuthAutoDiscover), mail.WithUsername(o.cfg.User), mail.WithPassword(o.cfg.Password))
	}
	client, err := mail.NewClient(o.cfg.Host, opts...)
	if err != nil {
		return "", later("smtp not set up")
	}
	ctx, cancel := context.WithTimeout(ctx, 3*smtpTimeout)
	defer cancel()
	// IsDelivered: accepted, and only the goodbye failed.
	if err := client.DialAndSendWithContext(ctx, msg); err != nil && !msg.IsDelivered() {
		return "", smtpError(err)
	}
	return id + "@" + o.domain(), nil
}

// smtpError keeps the reply code and drops the words: servers like to repeat
// the address.
func smtpError(err error) error {
	var send *mail.SendError
	if errors.As(err, &send) {
		code := send.ErrorCode()
		text := fmt.Sprintf("smtp %d", code)
		if code >= 500 && !send.IsTemp() {
			return refused(text)
		}
		if code > 0 {
			return later(text)
		}
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return later("smtp timeout")
	}
	return later("smtp unreachable")
}

// cleanEmail returns the bare address, or false when there is none or more
// than one could be read out of it.
func cleanEmail(s string) (string, bool) {
	if s == "" || len(s) > 254 || strings.ContainsAny(s, "\r\n\x00<>\",;: \t") {
		return "", false
	}
	a, err := netmail.ParseAddress(s)
	if err != nil || a.Address != s {
		return "", false
	}
	return s, true
}

// fileName is a name without folders or anything a header or a file system
// could misread.
func fileName(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < 0x20 || strings.ContainsRune(`/\:*?"<>|;`, r) || r == 0x7f {
			return -1
		}
		return r
	}, s)
	if s = strings.Trim(s, ". "); s == "" {
		return "file"
	}
	return s
}
