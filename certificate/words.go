package certificate

import (
	"context"
	"embed"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/pdf"
	"impfportal/internal/pg"
	"impfportal/internal/vault"
	"impfportal/internal/web"
	"impfportal/notify"
)

//go:embed all:templates i18n
var files embed.FS

// Assets are the pages and texts of this slice.
var Assets = web.Bundle{Name: "certificate", FS: files}

// texts are those of this bundle for the worker and for papers, which have no
// request to take a language from.
var texts = web.LoadTexts(Assets)

// say returns a text in a language; args alternate name and value.
func say(lang, key string, args ...any) string { return texts.Say(lang, "certificate."+key, args...) }

// announce tells the owner that the certificate is ready, or that a new
// version takes the place of the one before. The message says neither which
// vaccine nor for whom. Who has no e-mail gets the certificate itself by post,
// and by SMS word of it. People without a login are not told: nobody knows how.
func (s *Service) announce(ctx context.Context, tx pgx.Tx, v Vaccination, c Certificate) error {
	name := "ready"
	if c.Version > 1 {
		name = "replaced"
	}
	return s.tell(ctx, tx, v, name, &c)
}

// tell sends the owner one of this package's messages, with the certificate
// itself where that has to go by post.
func (s *Service) tell(ctx context.Context, tx pgx.Tx, v Vaccination, name string, enclosed *Certificate) error {
	if s.Send == nil || v.PersonID == "" {
		return nil
	}
	to := notify.Recipient{KeyID: v.KeyID, Email: v.Email, Phone: v.Phone, Lang: v.Lang}
	if s.Recipient != nil {
		r, ok, err := s.Recipient(ctx, tx, v.PersonID)
		if err != nil {
			return fmt.Errorf("recipient: %w", err)
		}
		if ok {
			to = r
		}
	}
	if to.Email == "" && to.Phone == "" && !to.Postal.Complete() {
		return nil
	}
	kind := name
	if !s.Production {
		kind += "_muster"
	}
	link := s.PublicURL + "/certificates"
	m := notify.Message{
		Kind:    "certificate." + name,
		Subject: say(to.Lang, "message."+kind+".subject"),
		Text:    say(to.Lang, "message."+kind+".text", "Link", link),
		SMS:     say(to.Lang, "message."+kind+".sms", "Link", link),
	}
	if enclosed != nil && to.Email == "" && to.Postal.Complete() {
		letter, err := s.letter(to, name, *enclosed)
		switch {
		case errors.Is(err, pdf.ErrAddress): // told like everybody; the print queue shows why
		case err != nil:
			return fmt.Errorf("letter: %w", err)
		default:
			m.Letter, m.ByPost, m.SMS = letter, true, say(to.Lang, "message.post.sms")
		}
	}
	err := s.Send(ctx, tx, to, m)
	if errors.Is(err, vault.ErrDestroyed) {
		return nil // the registration was deleted meanwhile
	}
	return err
}

// Revoked tells the owner of a certificate that was handed out, was taken back
// and gets no successor. One whose record is gone cannot be told.
func (s *Service) Revoked(ctx context.Context, tx pgx.Tx, certificateID string) error {
	var recordID string
	err := tx.QueryRow(ctx, `SELECT record_id::text FROM certificate.certificate WHERE id = $1 AND released_at IS NOT NULL`, certificateID).Scan(&recordID)
	if pg.NoRows(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("tell of a revocation: %w", err)
	}
	v, err := s.Source.Record(ctx, tx, recordID)
	if errors.Is(err, ErrGone) {
		return nil
	}
	if err != nil && !errors.Is(err, ErrVoid) {
		return fmt.Errorf("tell of a revocation: %w", err)
	}
	return s.tell(ctx, tx, v, "revoked", nil)
}

// letter is the letter with the certificate behind it.
func (s *Service) letter(to notify.Recipient, name string, c Certificate) ([]byte, error) {
	lang := to.Lang
	if lang != "en" {
		lang = "de"
	}
	now := s.Now()
	spec := pdf.LetterSpec{
		Lang: lang, Created: now, Sender: s.Sender, Recipient: to.Postal.Lines(), Remark: say(lang, "letter.remark"),
		Date: web.FormatDate(lang, now), Subject: say(lang, "letter."+name+".subject"), Blocks: pdf.Texts(say(lang, "letter."+name+".text")),
	}
	sheet := paperKind{lang, s.Production}.sheet()
	spec.Mark = sheet.Mark
	if sheet.Mark != "" {
		spec.Subject = sheet.Mark + ": " + spec.Subject
	}
	return pdf.LetterWith(spec, sheet, c.values())
}
