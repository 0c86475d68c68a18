package citizen

import (
	"context"
	"embed"
	"errors"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/pdf"
	"impfportal/internal/web"
	"impfportal/notify"
)

//go:embed all:templates i18n
var files embed.FS

// Assets are the pages and texts of this slice.
var Assets = web.Bundle{Name: "citizen", FS: files}

// texts are those of this bundle for the worker and for papers, which have no
// request to take a language from.
var texts = web.LoadTexts(Assets)

// say returns a text in a person's language; args alternate name and value.
func say(lang, key string, args ...any) string { return texts.Say(lang, "citizen."+key, args...) }

// The rule for login data in messages: case number and secret never stand in
// one e-mail or SMS. Somebody who reads over a shoulder, or a forwarded mail,
// has one half. Only a sealed letter has both.

// sendRegistered confirms a registration to the contact that was typed. The
// secret is not in it: it was on the page, for printing. Words and form are
// the same for a second registration of one person.
func (s *Service) sendRegistered(ctx context.Context, tx pgx.Tx, p Person, byStaff bool, now time.Time) error {
	args := s.args(p)
	if byStaff && !reachable(p) {
		return nil // the hotline's letter says it all
	}
	return s.send(ctx, tx, p, "citizen.registered", "message.registered", args, nil, now)
}

// sendKnown tells the person who was registered first that somebody typed the
// same names and birth date.
func (s *Service) sendKnown(ctx context.Context, tx pgx.Tx, p Person, now time.Time) error {
	return s.send(ctx, tx, p, "citizen.registered_twice", "message.twice", s.args(p), nil, now)
}

// sendEnded tells the contact of a registration that an agent ended it. The
// words would fit an invented person as well: they do not say that anybody else
// is registered. The person's key goes in the same transaction, so the message
// has one of its own.
func (s *Service) sendEnded(ctx context.Context, tx pgx.Tx, p Person, now time.Time) error {
	to := s.Recipient(p)
	to.KeyID = ""
	return s.sendTo(ctx, tx, to, p, "citizen.ended", "message.ended", s.args(p), nil, now)
}

// sendContactChanged tells the contact that was replaced.
func (s *Service) sendContactChanged(ctx context.Context, tx pgx.Tx, before Person, now time.Time) error {
	return s.send(ctx, tx, before, "citizen.contact_changed", "message.contact", s.args(before), nil, now)
}

// sendNewLogin sends a new secret to the known contact. By e-mail or SMS the
// case number goes in one message and the secret in another; with both ways
// known, one by each. A letter has both.
func (s *Service) sendNewLogin(ctx context.Context, tx pgx.Tx, p Person, secret string, now time.Time) error {
	args := append(s.args(p), "Secret", secret)
	if !reachable(p) {
		blocks := append([]pdf.Block{
			pdf.Code{Label: say(p.Lang, "case_number"), Text: PrintCode(p.CaseNumber)},
			pdf.Code{Label: say(p.Lang, "secret"), Text: secret},
		}, pdf.Texts(strings.Split(say(p.Lang, "message.new_login.letter_end", args...), "\n\n")...)...)
		return s.send(ctx, tx, p, "citizen.new_login", "message.new_login", args, blocks, now)
	}
	number, code := s.Recipient(p), s.Recipient(p)
	number.Postal, code.Postal = nil, nil
	if p.Email != "" && notify.CanText(p.Phone) {
		number.Phone, code.Email = "", ""
	}
	for _, m := range []struct {
		to  notify.Recipient
		key string
	}{{number, "message.new_login_number"}, {code, "message.new_login_secret"}} {
		err := s.Notify.Send(ctx, tx, m.to, notify.Message{
			Kind: "citizen.new_login", Subject: say(p.Lang, m.key+".subject", args...),
			Text: say(p.Lang, m.key+".text", args...), SMS: say(p.Lang, m.key+".sms", args...),
		})
		if err != nil {
			return wrap("send", err)
		}
	}
	return nil
}

// reachable reports whether an e-mail or an SMS can go to p; a landline cannot
// be written to.
func reachable(p Person) bool { return p.Email != "" || notify.CanText(p.Phone) }

func (s *Service) args(p Person) []any {
	return []any{"Name", p.FullName(), "Case", PrintCode(p.CaseNumber), "URL", s.BaseURL, "Phone", s.Hotline}
}

// send sends the texts under key as e-mail and SMS, and as a letter where
// nothing else is known; blocks stand in the letter only.
func (s *Service) send(ctx context.Context, tx pgx.Tx, p Person, kind, key string, args []any, blocks []pdf.Block, now time.Time) error {
	return s.sendTo(ctx, tx, s.Recipient(p), p, kind, key, args, blocks, now)
}

func (s *Service) sendTo(ctx context.Context, tx pgx.Tx, to notify.Recipient, p Person, kind, key string, args []any, blocks []pdf.Block, now time.Time) error {
	m := notify.Message{Kind: kind, Subject: say(p.Lang, key+".subject", args...), Text: say(p.Lang, key+".text", args...), SMS: say(p.Lang, key+".sms", args...)}
	if !reachable(p) && to.Postal != nil {
		letter, err := s.letter(p, *to.Postal, m.Subject, say(p.Lang, key+".letter", args...), blocks, now)
		if err != nil && !errors.Is(err, pdf.ErrAddress) { // an address too long for the window fails where staff see it
			return wrap("letter", err)
		}
		m.Letter = letter
	}
	return wrap("send", s.Notify.Send(ctx, tx, to, m))
}

// letter sets a letter: the text, an empty line between paragraphs, then blocks.
func (s *Service) letter(p Person, to notify.Address, subject, text string, blocks []pdf.Block, now time.Time) ([]byte, error) {
	body := append(pdf.Texts(strings.Split(text, "\n\n")...), blocks...)
	return pdf.Letter(pdf.LetterSpec{
		Lang: p.Lang, Created: now, Sender: s.Sender, Remark: say(p.Lang, "letter.remark"), Recipient: to.Lines(),
		Info: []pdf.Pair{{Key: say(p.Lang, "case_number"), Value: PrintCode(p.CaseNumber)}},
		Date: web.FormatDate(p.Lang, now), Subject: subject, Blocks: body,
	})
}

// LoginSheet is the login data as a document to print (PDF).
func (s *Service) LoginSheet(lang, name, caseNumber, secret string, now time.Time) ([]byte, error) {
	return pdf.Sheet(pdf.SheetSpec{
		Lang: lang, Created: now, Issuer: s.Sender, Title: say(lang, "sheet.title"), Subtitle: name,
		Blocks: []pdf.Block{
			pdf.Paragraph{Text: say(lang, "sheet.text", "URL", s.BaseURL)},
			pdf.Code{Label: say(lang, "case_number"), Text: caseNumber},
			pdf.Code{Label: say(lang, "secret"), Text: secret},
			pdf.Note{Title: say(lang, "sheet.note_title"), Text: say(lang, "sheet.note", "Phone", s.Hotline)},
			pdf.Paragraph{Text: say(lang, "sheet.alphabet"), Small: true},
		},
		Footer: []string{web.FormatDateTime(lang, now)},
	})
}
