package booking

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"impfportal/citizen"
	"impfportal/internal/pdf"
	"impfportal/internal/web"
	"impfportal/notify"
)

// phoneIndex is the keyed hash by which an SMS finds the offer it answers.
func (s *Service) phoneIndex(e164 string) []byte {
	return s.Citizens.Vault.BlindIndex("booking.waiting_offer phone", e164)
}

// phoneOf is the hash of the number that a person gets SMS at; nil = none.
func (s *Service) phoneOf(p citizen.Person) []byte {
	if !notify.CanText(p.Phone) {
		return nil
	}
	return s.phoneIndex(p.Phone)
}

// ContactChanged makes the offers of a person follow their number, in the
// transaction that stores it: from then on the new one answers and no other.
func (s *Service) ContactChanged(ctx context.Context, tx pgx.Tx, p citizen.Person) error {
	_, err := tx.Exec(ctx, `UPDATE booking.waiting_offer SET phone = $2 WHERE person_id = $1 AND phone IS DISTINCT FROM $2`, p.ID, s.phoneOf(p))
	return err
}

// tellOffer tells the person: by e-mail and SMS with the link, or by letter. Whom
// the hotline calls is told nothing in writing.
func (s *Service) tellOffer(ctx context.Context, tx pgx.Tx, o waitingOffer, person citizen.Person, to notify.Recipient, token string) error {
	if o.Means == MeansCall {
		return nil
	}
	series, err := seriesByID(ctx, tx, o.SeriesID)
	if err != nil {
		return err
	}
	p, err := s.paperOf(ctx, tx, *series, person, person.Lang)
	if err != nil {
		return err
	}
	args := []any{
		"Dates", p.dates(series.Appointments, "\n", web.FormatDateTime), "Short", p.dates(series.Appointments, ", ", shortDate), "Where", p.Where(), "City", p.Centre.City, "Vaccine", p.Product.Name,
		"Until", web.FormatDateTime(person.Lang, o.Until), "UntilShort", shortDate(person.Lang, o.Until), "URL", s.BaseURL + "/offers/" + token, "Phone", s.Hotline,
	}
	m := notify.Message{
		Kind: "booking.offer", Subject: say(person.Lang, "message.offer.subject", args...),
		Text: say(person.Lang, "message.offer.text", args...), SMS: say(person.Lang, "message.offer.sms", args...),
	}
	if o.Means == MeansLetter {
		// Nobody types a link from paper: the hotline answers, or the own case.
		m.Text = say(person.Lang, "message.offer.letter", args...)
		m.Letter, err = pdf.Letter(pdf.LetterSpec{
			Lang: person.Lang, Created: o.MadeAt, Sender: s.Notify.Sender(), Recipient: to.Postal.Lines(),
			Date: web.FormatDate(person.Lang, o.MadeAt), Subject: m.Subject, Blocks: pdf.Texts(m.Text),
		})
		if err != nil && !errors.Is(err, pdf.ErrAddress) {
			return err
		}
		m.ByPost = true
	}
	return s.Notify.Send(ctx, tx, to, m)
}

// tellPaused says that no offers come any more, and how to wait on.
func (s *Service) tellPaused(ctx context.Context, tx pgx.Tx, personID string) error {
	person, err := s.Citizens.Person(ctx, tx, personID)
	if errors.Is(err, citizen.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	to := s.Citizens.Recipient(person)
	args := []any{"URL", s.BaseURL + "/appointments/waiting", "Phone", s.Hotline}
	return s.Notify.Send(ctx, tx, to, notify.Message{
		Kind: "booking.waiting-paused", Subject: say(person.Lang, "message.paused.subject"),
		Text: say(person.Lang, "message.paused.text", args...), SMS: say(person.Lang, "message.paused.sms", args...),
	})
}

// AnswerSMS takes an SMS that came in: YES or NO to the offer that is open for
// this number, and nothing else, because a sender can be forged: nobody comes off
// the list by SMS, and without an open offer nothing changes. A number answers for who has
// it now. The reply is in the
// person's language; "" for a number that nothing was offered to. from is E.164.
func (s *Service) AnswerSMS(ctx context.Context, from, text string) (reply string, err error) {
	offers, err := offersWhere(ctx, s.Pool, `o.phone = $1 AND o.made_at > $2 ORDER BY o.made_at DESC, o.id DESC LIMIT 10`, s.phoneIndex(from), s.Now().AddDate(0, 0, -7))
	if err != nil || len(offers) == 0 {
		return "", err
	}
	var ids []string
	for _, o := range offers {
		ids = append(ids, o.PersonID)
	}
	people, err := s.Citizens.People(ctx, s.Pool, ids)
	if err != nil {
		return "", err
	}
	// The number that is theirs now counts, also when an offer was made while it changed.
	offers = slices.DeleteFunc(offers, func(o waitingOffer) bool { p, known := people[o.PersonID]; return !known || p.Phone != from })
	if len(offers) == 0 {
		return "", nil
	}
	person := people[offers[0].PersonID]
	args := []any{"URL", s.BaseURL + "/appointments", "Phone", s.Hotline}
	said := func(key string) (string, error) { return say(person.Lang, "sms."+key, args...), nil }
	answer := smsAnswer(text)
	if answer == "" {
		return said("help")
	}
	o, open := offers[0], 0
	for _, x := range offers {
		if x.Open(s.Now()) {
			if open++; open == 1 {
				o = x
			}
		}
	}
	if open == 0 { // what became of the last one: nothing is done any more
		if o.Answer == "" {
			return said(OfferUnanswered)
		}
		return said(o.Answer)
	}
	if open > 1 { // two people of one household: nobody guesses whom it is about
		return said("many")
	}
	after, err := s.answerOffer(ctx, o.ID, answer, viaSMS, By{"citizen:" + o.PersonID, string(web.RoleCitizen)})
	if errors.Is(err, ErrNotFound) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return said(after.Answer)
}

// smsAnswer reads what people write; "" when it is neither.
func smsAnswer(text string) string {
	word := strings.ToUpper(strings.Trim(strings.TrimSpace(text), ".,!?\"'„“ "))
	if i := strings.IndexAny(word, " ,.!\n"); i > 0 {
		word = word[:i]
	}
	switch word {
	case "JA", "J", "YES", "Y", "OK":
		return AnswerAccept
	case "NEIN", "N", "NO":
		return AnswerDecline
	}
	return ""
}
