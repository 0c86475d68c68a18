package dualcontrol

import (
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"impfportal/internal/id"
	"impfportal/internal/web"
	"impfportal/staff/passkey"
)

// Problem says an error of this slice in words; other errors stay what they are.
func Problem(err error) error {
	for _, p := range []struct {
		is     error
		status int
		key    string
	}{
		{ErrNotFound, http.StatusNotFound, "web.error.not_found"},
		{ErrClosed, http.StatusConflict, "dualcontrol.error.closed"},
		{ErrChanged, http.StatusConflict, "dualcontrol.error.changed"},
		{ErrOwnConcern, http.StatusForbidden, "dualcontrol.error.own"},
		{ErrNotApprover, http.StatusForbidden, "dualcontrol.error.approver"},
		{ErrTwice, http.StatusConflict, "dualcontrol.error.twice"},
		{ErrTouch, http.StatusForbidden, "passkey.error.refused"},
	} {
		if errors.Is(err, p.is) {
			return errors.Join(web.Fail(p.status, p.key), err)
		}
	}
	return passkey.Problem(err)
}

// ProposalsIn selects proposals.
type ProposalsIn struct {
	Closed bool `json:"-" query:"closed"`
}

// ProposalsOut lists proposals.
type ProposalsOut struct {
	Proposals []ProposalOut `json:"proposals"`
}

// ProposalOut is a proposal with what it changes and who has approved it.
type ProposalOut struct {
	ID         string          `json:"id"`
	Kind       string          `json:"kind"`
	Subject    string          `json:"subject"`
	Title      string          `json:"title"`
	Changes    []ChangeOut     `json:"changes"`
	Payload    json.RawMessage `json:"payload"`
	Why        string          `json:"why"`
	ProposedBy string          `json:"proposed_by,omitempty" doc:"account; empty = the portal itself"`
	Digest     []byte          `json:"digest" doc:"SHA-256; what approvals are bound to"`
	State      string          `json:"state" enum:"open,applied,refused,withdrawn,expired"`
	CreatedAt  time.Time       `json:"created_at"`
	ExpiresAt  time.Time       `json:"expires_at"`
	ClosedAt   *time.Time      `json:"closed_at,omitempty"`
	ClosedWhy  string          `json:"closed_why,omitempty"`
	Approvals  []ApprovalOut   `json:"approvals"`
}

// ChangeOut is one line of what a proposal changes.
type ChangeOut struct {
	What   string `json:"what"`
	Before string `json:"before"`
	After  string `json:"after"`
}

// ApprovalOut is one approval; the assertion has been verified for this answer.
type ApprovalOut struct {
	Account  string    `json:"account"`
	Key      string    `json:"key"`
	At       time.Time `json:"at"`
	Void     bool      `json:"void" doc:"the proposal was changed after it"`
	Verified bool      `json:"verified" doc:"the stored assertion verifies"`
}

func out(v proposalView) ProposalOut {
	p := v.Proposal
	o := ProposalOut{
		ID: p.ID, Kind: p.Kind, Subject: p.Subject, Title: v.Title, Changes: []ChangeOut{}, Payload: p.Payload, Why: p.Why, ProposedBy: p.ProposedBy, Digest: p.Digest[:],
		State: p.State, CreatedAt: p.CreatedAt, ExpiresAt: p.ExpiresAt, ClosedAt: p.ClosedAt, ClosedWhy: p.ClosedWhy, Approvals: []ApprovalOut{},
	}
	for _, ch := range v.Changes {
		o.Changes = append(o.Changes, ChangeOut(ch))
	}
	for _, a := range v.Approvals {
		o.Approvals = append(o.Approvals, ApprovalOut{a.AccountID, a.CredentialID, a.At, a.VoidedAt != nil, a.Verified})
	}
	return o
}

func (s *Service) apiList(c *web.Ctx, in ProposalsIn) (ProposalsOut, error) {
	list, err := s.list(c, !in.Closed)
	o := ProposalsOut{Proposals: []ProposalOut{}}
	for _, v := range list {
		o.Proposals = append(o.Proposals, out(v))
	}
	return o, err
}

// ProposalIn names a proposal.
type ProposalIn struct {
	ID string `json:"-" path:"id"`
}

func (s *Service) apiGet(c *web.Ctx, in ProposalIn) (ProposalOut, error) {
	p, err := Get(c.Std(), s.pool, in.ID)
	if err != nil {
		return ProposalOut{}, Problem(err)
	}
	v, err := s.viewOf(c, p)
	return out(v), err
}

func (s *Service) apiAsk(c *web.Ctx, in ProposalIn) (passkey.Asked, error) {
	asked, err := s.AskTouch(c.Std(), in.ID, c.User.ID)
	return asked, Problem(err)
}

// ApproveIn is the touch of an approval.
type ApproveIn struct {
	ID    string        `json:"-" path:"id"`
	Touch passkey.Touch `json:"touch"`
}

func (s *Service) apiApprove(c *web.Ctx, in ApproveIn) (ProposalOut, error) {
	if err := s.Approve(c.Std(), in.ID, c.User.ID, in.Touch); err != nil {
		return ProposalOut{}, Problem(err)
	}
	return s.apiGet(c, ProposalIn{in.ID})
}

// RefuseIn is a no and why.
type RefuseIn struct {
	ID  string `json:"-" path:"id"`
	Why string `json:"why" maxlen:"500"`
}

func (s *Service) apiRefuse(c *web.Ctx, in RefuseIn) (struct{}, error) {
	if !validWhy(in.Why) {
		return struct{}{}, web.Invalid(web.FieldError{Field: "why", Key: "dualcontrol.error.why"})
	}
	return struct{}{}, Problem(s.Refuse(c.Std(), in.ID, c.User.ID, in.Why))
}

func validWhy(why string) bool { return why != "" && len([]rune(why)) <= 500 }

func (s *Service) apiWithdraw(c *web.Ctx, in ProposalIn) (struct{}, error) {
	return struct{}{}, Problem(s.Withdraw(c.Std(), in.ID, c.User.ID))
}

// AdmitIn proposes that an account may approve.
type AdmitIn struct {
	Account string `json:"account" maxlen:"36"`
	Why     string `json:"why" maxlen:"500"`
}

// ProposedOut is a proposal that was made.
type ProposedOut struct {
	ID string `json:"id"`
}

// HTTPStatus says that something was made.
func (ProposedOut) HTTPStatus() int { return http.StatusCreated }

func (s *Service) apiAdmit(c *web.Ctx, in AdmitIn) (ProposedOut, error) {
	p := web.Invalid()
	if !id.Valid(in.Account) {
		p.Fields = append(p.Fields, web.FieldError{Field: "account", Key: "dualcontrol.error.account"})
	}
	if !validWhy(in.Why) {
		p.Fields = append(p.Fields, web.FieldError{Field: "why", Key: "dualcontrol.error.why"})
	}
	if len(p.Fields) > 0 {
		return ProposedOut{}, p
	}
	proposalID, err := s.ProposeApprover(c.Std(), in.Account, in.Why, c.User.ID)
	return ProposedOut{proposalID}, Problem(err)
}
