package issuer

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/code"
	"impfportal/internal/pdf"
	"impfportal/internal/web"
	"impfportal/notify"
)

var texts = web.LoadTexts(Assets)

func say(lang, key string, args ...any) string { return texts.Say(lang, "issuer."+key, args...) }

// postal is the registry's address: nothing that an applicant typed.
func postal(i Issuer) *notify.Address {
	return &notify.Address{Name: i.Name, Street: i.Street, Postcode: i.Postcode, City: i.City}
}

// kindCode is the message that holds the activation code.
const kindCode = "issuer.code"

// sendCode puts the letter with an activation code into the print batch. The code
// stands in the sealed letter and, as a keyed hash, in the database; nowhere else.
func (s *Service) sendCode(ctx context.Context, tx pgx.Tx, i Issuer, secret string, now time.Time) error {
	lang := i.lang
	subject := say(lang, "letter.subject")
	address := s.BaseURL + "/issuer/apply/code"
	letter, err := pdf.Letter(pdf.LetterSpec{
		Lang: lang, Created: now, Sender: s.Notify.Sender(), Remark: say(lang, "letter.remark"), Recipient: postal(i).Lines(),
		Info: []pdf.Pair{{Key: say(lang, "letter.entry"), Value: i.EntryID}, {Key: say(lang, "letter.phone"), Value: s.Hotline}},
		Date: web.FormatDate(lang, now), Subject: subject,
		Blocks: []pdf.Block{
			pdf.Paragraph{Text: say(lang, "letter.greeting")},
			pdf.Paragraph{Text: say(lang, "letter.text", "Name", i.Name, "Entry", i.EntryID)},
			pdf.Paragraph{Text: say(lang, "letter.steps", "URL", address, "Until", web.FormatDate(lang, now.Add(codeTTL)))},
			pdf.Code{Label: say(lang, "letter.code"), Text: code.Print(secret)},
			pdf.Paragraph{Text: say(lang, "letter.then")},
			pdf.Note{Title: say(lang, "letter.not_asked_title"), Text: say(lang, "letter.not_asked", "URL", address, "Phone", s.Hotline)},
			pdf.Paragraph{Text: say(lang, "letter.closing")},
		},
	})
	if err != nil {
		return err
	}
	return s.Notify.Send(ctx, tx, notify.Recipient{KeyID: i.keyID, Postal: postal(i), Lang: lang},
		notify.Message{Kind: kindCode, Subject: subject, Letter: letter, ByPost: true, Guarded: true})
}

// tell says to an issuer's contact what its state is now and why; byPost also by letter
// to the registry's address. The contact is whoever entered the code: should that have
// been somebody else who read the letter, only the post reaches the place itself.
func (s *Service) tell(ctx context.Context, tx pgx.Tx, i Issuer, byPost bool) error {
	if i.Why == whyNotAsked || i.ActivatedAt == nil && i.State == Ended {
		return nil // the contact is whoever claimed; it has proven nothing
	}
	c, err := s.contactOf(ctx, tx, i)
	if err != nil {
		return err
	}
	why := say(i.lang, "why."+reason(i.Why))
	next := say(i.lang, "next."+nextOf(i))
	if i.State == Active {
		next += "\n\n" + say(i.lang, "message.not_asked")
	}
	return s.Notify.Send(ctx, tx, notify.Recipient{KeyID: i.keyID, Email: c.Email, Postal: postal(i), Lang: i.lang}, notify.Message{
		Kind: "issuer." + i.State, Subject: say(i.lang, "message."+i.State+".subject", "Name", i.Name),
		Text: say(i.lang, "message.text", "Name", i.Name, "Entry", i.EntryID, "State", say(i.lang, "message."+i.State+".subject", "Name", i.Name),
			"Since", web.FormatDateTime(i.lang, i.Since), "Why", why, "Next", next, "URL", s.BaseURL+"/issuer", "Phone", s.Hotline),
		ByPost: byPost,
	})
}

// nextOf names the text that says what happens next.
func nextOf(i Issuer) string {
	if i.State == Suspended && i.Reverify {
		return "reverify"
	}
	return i.State
}
