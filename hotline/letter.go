package hotline

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/booking"
	"impfportal/citizen"
	"impfportal/internal/id"
	"impfportal/internal/pdf"
	"impfportal/internal/pg"
	"impfportal/internal/vault"
	"impfportal/internal/web"
	"impfportal/notify"
)

// Letter is a letter of a case as the desk lists it.
type Letter struct {
	ID        string     `json:"id"`
	Kind      string     `json:"kind" enum:"papers,login,again"`
	State     string     `json:"state" enum:"wanted,made,dropped"`
	CreatedAt time.Time  `json:"created_at"`
	DoneAt    *time.Time `json:"done_at"`
}

func (s *Service) letters(ctx context.Context, personID string) ([]Letter, error) {
	rows, err := s.Pool.Query(ctx, `
		SELECT id::text, kind, state, created_at, done_at FROM hotline.letter WHERE person_id = $1 ORDER BY created_at DESC, id DESC LIMIT 20`, personID)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Letter])
}

var texts = web.LoadTexts(Assets)

func say(lang, key string, args ...any) string { return texts.Say(lang, "hotline."+key, args...) }

// compose writes a letter: the appointments of series (nil = none) and the
// secret ("" = none).
func (s *Service) compose(ctx context.Context, q pg.Querier, p citizen.Person, series *booking.Series, secret string, now time.Time) (subject string, letter []byte, err error) {
	to := s.Citizens.Recipient(p)
	if !to.Postal.Complete() {
		return "", nil, ErrNoAddress
	}
	greeting, closing := pdf.Paragraph{Text: say(p.Lang, "letter.greeting", "Name", p.FullName())}, pdf.Paragraph{Text: say(p.Lang, "letter.closing")}
	login := []pdf.Block{
		pdf.Paragraph{Text: say(p.Lang, "letter.login.use", "URL", s.BaseURL)},
		pdf.Code{Label: say(p.Lang, "letter.case_number"), Text: citizen.PrintCode(p.CaseNumber)},
		pdf.Code{Label: say(p.Lang, "letter.secret"), Text: secret},
		pdf.Note{Title: say(p.Lang, "letter.keep_title"), Text: say(p.Lang, "letter.keep")},
	}
	var blocks []pdf.Block
	if series == nil {
		subject = say(p.Lang, "letter.login.subject")
		blocks = append([]pdf.Block{greeting, pdf.Paragraph{Text: say(p.Lang, "letter.login.text", "Phone", s.Phone)}}, append(login, closing)...)
	} else {
		subject = say(p.Lang, "letter.papers.subject")
		own, err := s.Booking.PaperBlocks(ctx, q, *series, p, p.Lang)
		if err != nil {
			return "", nil, err
		}
		blocks = append([]pdf.Block{greeting, pdf.Paragraph{Text: say(p.Lang, "letter.papers.text")}}, own...)
		if secret == "" {
			blocks = append(blocks, closing)
		} else { // on a sheet of its own: the first one is shown at the entrance
			blocks = append(blocks, pdf.Paragraph{Text: say(p.Lang, "letter.login.next_page")}, closing,
				pdf.PageBreak{}, pdf.Heading{Text: say(p.Lang, "letter.login.heading")})
			blocks = append(blocks, login...)
		}
	}
	letter, err = pdf.Letter(pdf.LetterSpec{
		Lang: p.Lang, Created: now, Sender: s.Notify.Sender(), Remark: say(p.Lang, "letter.remark"), Recipient: to.Postal.Lines(),
		Info: []pdf.Pair{{Key: say(p.Lang, "letter.case_number"), Value: citizen.PrintCode(p.CaseNumber)}, {Key: say(p.Lang, "letter.phone"), Value: s.Phone}},
		Date: web.FormatDate(p.Lang, now), Subject: subject, Blocks: blocks,
	})
	return subject, letter, err
}

// sendLetter puts a letter into the print queue.
func (s *Service) sendLetter(ctx context.Context, tx pgx.Tx, p citizen.Person, series *booking.Series, secret string, now time.Time) error {
	subject, letter, err := s.compose(ctx, tx, p, series, secret, now)
	if err != nil {
		return err
	}
	kind := "hotline.papers"
	if series == nil {
		kind = "hotline.login"
	}
	return s.Notify.Send(ctx, tx, s.Citizens.Recipient(p), notify.Message{Kind: kind, Subject: subject, Letter: letter, ByPost: true})
}

// makeLetter fulfils a wish for a letter: once, however often it is called.
func (s *Service) makeLetter(ctx context.Context, letterID string) error {
	now := s.Now()
	return pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		var personID string
		var seriesID *string
		err := tx.QueryRow(ctx, `SELECT person_id::text, series_id::text FROM hotline.letter WHERE id = $1 AND state = 'wanted' FOR UPDATE`, letterID).
			Scan(&personID, &seriesID)
		if pg.NoRows(err) {
			return nil
		}
		if err != nil {
			return err
		}
		state, err := s.fulfil(ctx, tx, personID, seriesID, now)
		if err != nil || state == "wanted" {
			return err
		}
		_, err = tx.Exec(ctx, `UPDATE hotline.letter SET state = $2, done_at = $3 WHERE id = $1`, letterID, state, now)
		return err
	})
}

// fulfil writes the letter, if what it is about is so far, and returns the
// state of the wish.
func (s *Service) fulfil(ctx context.Context, tx pgx.Tx, personID string, seriesID *string, now time.Time) (state string, err error) {
	p, err := s.Citizens.Person(ctx, tx, personID)
	if errors.Is(err, citizen.ErrNotFound) {
		return "dropped", nil
	}
	if err != nil {
		return "", err
	}
	var series *booking.Series
	if seriesID != nil {
		series, err = s.Booking.SeriesByID(ctx, tx, *seriesID, personID)
		switch {
		case errors.Is(err, booking.ErrNotFound):
			return "dropped", nil
		case err != nil:
			return "", err
		case series.State == booking.StateHeld && series.HoldUntil.After(now):
			return "wanted", nil
		case series.State != booking.StateConfirmed:
			return "dropped", nil
		}
	}
	secret, err := s.takeSecret(ctx, tx, p)
	if err != nil {
		return "", err
	}
	if series == nil && secret == "" {
		return "dropped", nil
	}
	err = s.sendLetter(ctx, tx, p, series, secret, now)
	if errors.Is(err, ErrNoAddress) || errors.Is(err, pdf.ErrAddress) {
		return "dropped", nil // booking's e-mail or SMS says the same; the desk shows that no letter went
	}
	return "made", err
}

// takeSecret returns the secret that waits for a letter and removes it, "" when
// there is none.
func (s *Service) takeSecret(ctx context.Context, tx pgx.Tx, p citizen.Person) (string, error) {
	var sealed []byte
	err := tx.QueryRow(ctx, `DELETE FROM hotline.login_data WHERE person_id = $1 RETURNING sealed`, p.ID).Scan(&sealed)
	if pg.NoRows(err) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	key, err := s.Vault.Open(ctx, tx, p.KeyID)
	if errors.Is(err, vault.ErrDestroyed) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	secret, err := key.Unseal(loginContext(p.ID), sealed)
	if err != nil {
		return "", fmt.Errorf("login data of %s: %w", citizen.Subject(p.ID), err)
	}
	return string(secret), nil
}

// PapersAgain sends the papers of what is booked once more, without login data.
func (s *Service) PapersAgain(ctx context.Context, personID string, b By) error {
	now := s.Now()
	return pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		p, err := s.Citizens.Person(ctx, tx, personID)
		if err != nil {
			return err
		}
		series, err := s.confirmedSeries(ctx, tx, personID)
		if err != nil {
			return err
		}
		if err := s.sendLetter(ctx, tx, p, series, "", now); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `INSERT INTO hotline.letter (id, person_id, series_id, kind, state, actor, created_at, done_at) VALUES ($1, $2, $3, 'again', 'made', $4, $5, $5)`,
			id.New(), p.ID, series.ID, b.Actor, now)
		if err != nil {
			return err
		}
		return s.note(ctx, tx, now, b, "hotline.papers.again", citizen.Subject(p.ID), nil)
	})
}

// Preview is the letter about what is booked, without login data.
func (s *Service) Preview(ctx context.Context, personID string, b By) ([]byte, error) {
	p, err := s.Citizens.Person(ctx, s.Pool, personID)
	if err != nil {
		return nil, err
	}
	series, err := s.confirmedSeries(ctx, s.Pool, personID)
	if err != nil {
		return nil, err
	}
	_, letter, err := s.compose(ctx, s.Pool, p, series, "", s.Now())
	if err != nil {
		return nil, err
	}
	return letter, s.record(ctx, b, "hotline.papers.preview", citizen.Subject(p.ID), nil)
}

func (s *Service) confirmedSeries(ctx context.Context, q pg.Querier, personID string) (*booking.Series, error) {
	series, err := s.Booking.SeriesOf(ctx, q, personID)
	if err != nil {
		return nil, err
	}
	if series == nil || series.State != booking.StateConfirmed {
		return nil, ErrNothingBooked
	}
	return series, nil
}
