package dualcontrol

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/web"
	"impfportal/staff/passkey"
)

// proposeModel is how package passkey, which this one knows, puts an authenticator
// model before two people.
func (s *Service) proposeModel(ctx context.Context, tx pgx.Tx, kind, subject string, payload json.RawMessage, why, accountID string) (string, error) {
	return s.Propose(ctx, tx, Proposal{Kind: kind, Subject: subject, Payload: payload, Why: why, ProposedBy: accountID})
}

func (s *Service) modelHandler() Handler {
	return Handler{
		Title: func(c *web.Ctx, p Proposal) (string, error) {
			m, err := passkey.ModelOf(p.Subject, p.Payload)
			return c.T("dualcontrol.model.title", "Name", m.Name), err
		},
		Changes: s.modelChanges,
		Apply: func(ctx context.Context, tx pgx.Tx, p Proposal) error {
			return s.cfg.Keys.ApplyModel(ctx, tx, p.ID, p.Subject, p.Payload)
		},
	}
}

// modelChanges shows what is to be compared with what the maker publishes.
func (s *Service) modelChanges(c *web.Ctx, p Proposal) ([]Change, error) {
	m, err := passkey.ModelOf(p.Subject, p.Payload)
	if err != nil {
		return nil, err
	}
	roots, err := m.Fingerprints()
	if err != nil {
		return nil, err
	}
	days := func(m passkey.Model) string {
		if m.To == nil {
			return c.T("dualcontrol.model.from", "From", m.From.Format(time.DateOnly))
		}
		return c.T("dualcontrol.model.days", "From", m.From.Format(time.DateOnly), "To", m.To.Format(time.DateOnly))
	}
	none := c.T("dualcontrol.model.none")
	was := [3]string{none, none, none}
	before, err := passkey.Models(c.Std(), s.pool)
	if err != nil {
		return nil, err
	}
	for _, b := range before { // what it would replace
		if p.State == Open && b.AAGUID == m.AAGUID && b.From.Equal(m.From) {
			held, err := b.Fingerprints()
			if err != nil {
				return nil, err
			}
			was = [3]string{b.Name, days(b), strings.Join(held, "; ")}
		}
	}
	return []Change{
		{c.T("dualcontrol.model.name"), was[0], m.Name + " (" + m.AAGUID + ")"},
		{c.T("dualcontrol.model.when"), was[1], days(m)},
		{c.T("dualcontrol.model.roots"), was[2], strings.Join(roots, "; ")},
	}, nil
}
