package booking

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"

	"impfportal/centre"
	"impfportal/citizen"
	"impfportal/internal/jobs"
	"impfportal/internal/web"
	"impfportal/programme"
)

func (s *Service) proposalRoutes() []web.Route {
	const page, api = "/admin/shortfall/:centre/:product", "/api/v1/admin/shortfalls/:centre/:product"
	return []web.Route{
		{Method: http.MethodGet, Path: page, Roles: admins, Handle: s.showProposals},
		{Method: http.MethodPost, Path: page + "/propose", Roles: admins, Handle: s.postPropose},
		{Method: http.MethodPost, Path: page + "/confirm", Roles: admins, Handle: s.postConfirmAll},
		{Method: http.MethodPost, Path: page + "/withdraw", Roles: admins, Handle: s.postWithdrawAll},
		{Method: http.MethodGet, Path: api, Roles: admins, API: web.JSON("Whom a shortfall concerns, each with a proposal", s.apiProposals)},
		{Method: http.MethodPost, Path: api + "/propose", Roles: admins, API: web.JSON("Keep other places for everybody concerned", s.apiPropose)},
		{Method: http.MethodPost, Path: api + "/confirm", Roles: admins, API: web.JSON("Move everybody for whom places are kept, and tell them", s.apiConfirmAll)},
		{Method: http.MethodPost, Path: api + "/withdraw", Roles: admins, API: web.JSON("Discard the open proposals", s.apiWithdrawAll)},
	}
}

// proposalView is the page of one centre and product.
type proposalView struct {
	Centre  centre.Centre
	Product programme.Product
	Short   []Shortfall
	Some    bool // somebody is concerned who can still be moved
	Rows    []proposalRow
	Ready   int // proposals that can be confirmed
	Without int // people for whom nothing was found
	Until   *time.Time
}

type proposalRow struct {
	Proposal
	CaseNumber string
	Moves      []moveRow
	At         string // name of the other centre; "" = the same
}

type moveRow struct {
	Label    string
	Old, New time.Time // New zero: nothing was found
}

func (s *Service) proposalPage(c *web.Ctx) (v proposalView, err error) {
	ctx := c.Std()
	if v.Centre, err = centre.Get(ctx, s.Pool, c.Params("centre")); err != nil {
		if errors.Is(err, centre.ErrNotFound) {
			err = web.NotFound()
		}
		return v, err
	}
	if v.Product, err = programme.ProductByID(ctx, s.Pool, c.Params("product")); err != nil {
		if errors.Is(err, programme.ErrNotFound) {
			err = web.NotFound()
		}
		return v, err
	}
	short, err := Shortfalls(ctx, s.Pool)
	if err != nil {
		return v, err
	}
	for _, f := range short {
		if f.CentreID == v.Centre.ID && f.ProductID == v.Product.ID {
			v.Short = append(v.Short, f)
		}
	}
	visits, err := shortVisits(ctx, s.Pool, v.Centre.ID, v.Product.ID, s.Now())
	if err != nil {
		return v, err
	}
	v.Some = len(affected(v.Short, visits)) > 0
	list, err := s.Proposals(ctx, v.Centre.ID, v.Product.ID)
	if err != nil {
		return v, err
	}
	var people []string
	for _, p := range list {
		people = append(people, p.PersonID)
	}
	known, err := s.Citizens.People(ctx, s.Pool, people)
	if err != nil {
		return v, err
	}
	centres, err := centre.All(ctx, s.Pool)
	if err != nil {
		return v, err
	}
	for _, p := range list {
		row := proposalRow{Proposal: p, CaseNumber: citizen.PrintCode(known[p.PersonID].CaseNumber)}
		for i, dose := range p.Doses {
			m := moveRow{Label: c.T("booking.dose", "Number", dose)}
			if i < len(p.OldStarts) {
				m.Old = p.OldStarts[i]
			}
			if i < len(p.Starts) {
				m.New = p.Starts[i]
			}
			row.Moves = append(row.Moves, m)
		}
		for _, at := range centres {
			if at.ID == p.NewCentre && at.ID != v.Centre.ID {
				row.At = at.Name
			}
		}
		if p.State == ProposalOpen {
			if len(p.Slots) == 0 {
				v.Without++
			} else if v.Ready++; v.Until == nil || p.Until.Before(*v.Until) {
				v.Until = p.Until
			}
		}
		v.Rows = append(v.Rows, row)
	}
	return v, nil
}

func (s *Service) showProposals(c *web.Ctx) error {
	v, err := s.proposalPage(c)
	if err != nil {
		return err
	}
	return c.Page("booking/proposals", v)
}

func shortfallPath(c *web.Ctx) string {
	return "/admin/shortfall/" + url.PathEscape(c.Params("centre")) + "/" + url.PathEscape(c.Params("product"))
}

// inBackground begins work on a centre and product whose progress is shown; name is
// the key of its text.
func (s *Service) inBackground(c *web.Ctx, name string, do func(ctx context.Context, centreID, productID string, by By, p *jobs.Progress) error) (progressID string, err error) {
	v, err := s.proposalPage(c)
	if err != nil {
		return "", err
	}
	p, err := jobs.StartProgress(c.Std(), s.Pool, c.T(name), 0, c.Actor())
	if err != nil {
		return "", err
	}
	ctx, by := context.WithoutCancel(c.Std()), byUser(c) // c itself is gone when the page is out
	s.background.Go(func() {
		if err := do(ctx, v.Centre.ID, v.Product.ID, by, p); err != nil {
			s.Log.Error(name, "err", err)
		}
	})
	return p.ID, nil
}

func (s *Service) startPropose(c *web.Ctx) (string, error) {
	return s.inBackground(c, "booking.proposals.make", s.Propose)
}

func (s *Service) startConfirm(c *web.Ctx) (string, error) {
	return s.inBackground(c, "booking.proposals.confirming", func(ctx context.Context, centreID, productID string, by By, p *jobs.Progress) error {
		_, err := s.ConfirmProposals(ctx, centreID, productID, by, p)
		return err
	})
}

func (s *Service) postPropose(c *web.Ctx) error {
	progressID, err := s.startPropose(c)
	if err != nil {
		return err
	}
	return c.SeeProgress(progressID, shortfallPath(c))
}

func (s *Service) postConfirmAll(c *web.Ctx) error {
	progressID, err := s.startConfirm(c)
	if err != nil {
		return err
	}
	return c.SeeProgress(progressID, shortfallPath(c))
}

func (s *Service) postWithdrawAll(c *web.Ctx) error {
	if err := s.WithdrawProposals(c.Std(), c.Params("centre"), c.Params("product"), byUser(c)); err != nil {
		return err
	}
	c.Flash("booking.flash.proposals_withdrawn")
	return c.See(shortfallPath(c))
}

type shortfallIn struct {
	Centre  string `json:"-" path:"centre"`
	Product string `json:"-" path:"product"`
}

// OptionalBody: the address says everything.
func (shortfallIn) OptionalBody() {}

// ProposalsOut are the people concerned.
type ProposalsOut struct {
	Shortfalls []Shortfall   `json:"shortfalls"`
	Proposals  []ProposalOut `json:"proposals" doc:"in the order of who is affected"`
}

// ProposalOut is one of them; without new times nothing was found and the
// appointments stay.
type ProposalOut struct {
	ID         string      `json:"id"`
	CaseNumber string      `json:"case_number"`
	Cause      string      `json:"cause" doc:"doses or stations"`
	Day        string      `json:"day"`
	State      string      `json:"state" doc:"open, confirmed, changed (by the person meanwhile) or lost (the places are gone)"`
	Doses      []int       `json:"doses"`
	Old        []time.Time `json:"old"`
	New        []time.Time `json:"new"`
	Centre     string      `json:"centre,omitempty" doc:"of the new times"`
	Until      *time.Time  `json:"until,omitempty" doc:"the places are kept so long"`
}

func (s *Service) apiProposals(c *web.Ctx, _ shortfallIn) (ProposalsOut, error) {
	out := ProposalsOut{Shortfalls: []Shortfall{}, Proposals: []ProposalOut{}}
	v, err := s.proposalPage(c)
	if err != nil {
		return out, err
	}
	out.Shortfalls = append(out.Shortfalls, v.Short...)
	for _, r := range v.Rows {
		p := ProposalOut{
			ID: r.ID, CaseNumber: r.CaseNumber, Cause: r.Cause, Day: r.Day.Format(time.DateOnly), State: r.State, Doses: r.Doses,
			Old: append([]time.Time{}, r.OldStarts...), New: append([]time.Time{}, r.Starts...), Centre: r.NewCentre, Until: r.Until,
		}
		out.Proposals = append(out.Proposals, p)
	}
	return out, nil
}

func (s *Service) apiPropose(c *web.Ctx, _ shortfallIn) (PlanOut, error) {
	progressID, err := s.startPropose(c)
	return PlanOut{Progress: "/admin/progress/" + progressID}, err
}

func (s *Service) apiConfirmAll(c *web.Ctx, _ shortfallIn) (PlanOut, error) {
	progressID, err := s.startConfirm(c)
	return PlanOut{Progress: "/admin/progress/" + progressID}, err
}

func (s *Service) apiWithdrawAll(c *web.Ctx, _ shortfallIn) (struct{}, error) {
	return struct{}{}, s.WithdrawProposals(c.Std(), c.Params("centre"), c.Params("product"), byUser(c))
}
