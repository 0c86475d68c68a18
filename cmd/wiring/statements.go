package wiring

import (
	"context"

	"impfportal/centre"
	"impfportal/certificate/dcc"
	"impfportal/certificate/issuer"
	"impfportal/certificate/statement"
	"impfportal/internal/pg"
)

// buildStatements wires the monthly statements.
func (s *Slices) buildStatements(base string) {
	mark := ""
	if s.env.Cfg.Local() {
		mark = dcc.Muster
	}
	s.Statements = statement.New(statement.Config{
		Pool: s.env.Pool, Now: s.env.Now, Logger: s.env.Log, Log: s.Log, Sender: s.Notify.Sender(), Mark: mark, BaseURL: base, Parties: s.parties,
	})
}

// parties are all who may have issued certificates: the portal's own sites, and
// every issuer that was ever here.
func (s *Slices) parties(ctx context.Context, q pg.Querier) ([]statement.Party, error) {
	var out []statement.Party
	centres, err := centre.List(ctx, q)
	if err != nil {
		return nil, err
	}
	for _, c := range centres {
		out = append(out, statement.Party{Ref: "centre:" + c.ID, Kind: "centre", Name: c.Name, Address: []string{c.Street, c.Postcode + " " + c.City}, Lang: "de"})
	}
	teams, err := s.Teams.Teams(ctx, q)
	if err != nil {
		return nil, err
	}
	for _, t := range teams {
		out = append(out, statement.Party{Ref: "facility-team:" + t.ID, Kind: "mobile", Name: t.Name, Lang: "de"})
	}
	issuers, err := issuer.Ever(ctx, q)
	if err != nil {
		return nil, err
	}
	for _, i := range issuers {
		out = append(out, statement.Party{Ref: i.Ref(), Kind: i.Kind, Name: i.Name, Address: []string{i.Street, i.Postcode + " " + i.City}, Lang: i.Lang()})
	}
	return out, nil
}
