package certificate

import (
	"context"
	"embed"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

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
// vaccine nor for whom. People without a login are not told:
// they could not fetch it.
func (s *Service) announce(ctx context.Context, tx pgx.Tx, v Vaccination, version int) error {
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
	name := "ready"
	if version > 1 {
		name = "replaced"
	}
	kind := name
	if !s.Production {
		kind += "_muster"
	}
	err := s.Send(ctx, tx, to, notify.Message{
		Kind:    "certificate." + name,
		Subject: say(to.Lang, "message."+kind+".subject"),
		Text:    say(to.Lang, "message."+kind+".text", "Link", s.PublicURL+"/certificates"),
		SMS:     say(to.Lang, "message."+kind+".sms", "Link", s.PublicURL+"/certificates"),
	})
	if errors.Is(err, vault.ErrDestroyed) {
		return nil // the registration was deleted meanwhile
	}
	return err
}
