package issuer

import (
	"impfportal/internal/web"
	"impfportal/staff/dualcontrol"
)

const (
	whyLeast = 5
	whyMost  = 500
)

// checkWhy marks a missing reason: who approves reads it.
func checkWhy(why string) (key string) {
	if n := len([]rune(why)); n < whyLeast || n > whyMost {
		return "issuer.error.why"
	}
	return ""
}

func (s *Service) proposeForm(c *web.Ctx) error {
	i, err := s.issuerOf(c, c.Params("id"))
	if err != nil {
		return err
	}
	f := c.Form()
	if key := checkWhy(f.Get("why")); key != "" {
		f.Fail("why", key)
	} else if _, err := s.Propose(c.Std(), i.ID, f.Get("why"), c.User.ID); err != nil {
		if err := formError(f, "why", err); err != nil {
			return err
		}
	}
	if !f.OK() {
		return s.showForm(c, f)
	}
	c.Flash("issuer.proposed")
	return c.See("/admin/issuers/" + i.ID)
}

// limitFields are the fields of the form, in its order.
func limitFields(l *Limits) []struct {
	Name string
	To   *int
} {
	return []struct {
		Name string
		To   *int
	}{
		{"hourly", &l.Hourly},
		{"burst", &l.Burst},
		{"operator_hourly", &l.OperatorHourly},
		{"operator_burst", &l.OperatorBurst},
		{"seen_hourly", &l.SeenHourly},
		{"seen_burst", &l.SeenBurst},
		{"weekly_doses", &l.WeeklyDoses},
	}
}

func (s *Service) limitsForm(c *web.Ctx) error {
	i, err := s.issuerOf(c, c.Params("id"))
	if err != nil {
		return err
	}
	f := c.Form()
	var l Limits
	numbers(f, &l)
	if f.OK() && !l.Valid() {
		f.Fail("hourly", "issuer.error.limits")
	}
	if key := checkWhy(f.Get("limits_why")); key != "" {
		f.Fail("limits_why", key)
	}
	var proposalID string
	if f.OK() {
		if proposalID, err = s.SetLimits(c.Std(), i.ID, l, f.Get("limits_why"), c.User.ID); err != nil {
			if err := formError(f, "hourly", err); err != nil {
				return err
			}
		}
	}
	if !f.OK() {
		return s.showForm(c, f)
	}
	c.Flash(map[bool]string{true: "issuer.limits.set", false: "issuer.proposed"}[proposalID == ""])
	return c.See("/admin/issuers/" + i.ID)
}

// openProposals lists what is before two administrators about an issuer.
func (s *Service) openProposals(c *web.Ctx, i Issuer) (out []dualcontrol.Proposal, err error) {
	for _, kind := range proposalKinds {
		p, open, err := dualcontrol.OpenFor(c.Std(), s.Pool, kind, i.ID)
		if err != nil {
			return nil, err
		}
		if open {
			out = append(out, p)
		}
	}
	return out, nil
}

// ProposeIn proposes that an issuer may work.
type ProposeIn struct {
	ID  string `json:"-" path:"id"`
	Why string `json:"why" maxlen:"500" doc:"for those who approve; nothing personal"`
}

// ProposalOut names a proposal.
type ProposalOut struct {
	ProposalID string `json:"proposal_id,omitempty" doc:"empty: it took effect at once"`
}

// HTTPStatus says that something was made.
func (ProposalOut) HTTPStatus() int { return 201 }

func (s *Service) apiPropose(c *web.Ctx, in ProposeIn) (ProposalOut, error) {
	i, err := s.issuerOf(c, in.ID)
	if err != nil {
		return ProposalOut{}, err
	}
	if key := checkWhy(in.Why); key != "" {
		return ProposalOut{}, web.Invalid(web.FieldError{Field: "why", Key: key})
	}
	proposalID, err := s.Propose(c.Std(), i.ID, in.Why, c.User.ID)
	return ProposalOut{proposalID}, asProblem(err)
}

// LimitsIn sets an issuer's limits.
type LimitsIn struct {
	ID     string `json:"-" path:"id"`
	Limits Limits `json:"limits"`
	Why    string `json:"why" maxlen:"500"`
}

func (s *Service) apiLimits(c *web.Ctx, in LimitsIn) (ProposalOut, error) {
	i, err := s.issuerOf(c, in.ID)
	if err != nil {
		return ProposalOut{}, err
	}
	if !in.Limits.Valid() {
		return ProposalOut{}, web.Invalid(web.FieldError{Field: "limits", Key: "issuer.error.limits"})
	}
	if key := checkWhy(in.Why); key != "" {
		return ProposalOut{}, web.Invalid(web.FieldError{Field: "why", Key: key})
	}
	proposalID, err := s.SetLimits(c.Std(), i.ID, in.Limits, in.Why, c.User.ID)
	return ProposalOut{proposalID}, asProblem(err)
}
