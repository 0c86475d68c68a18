package issuer

import (
	"impfportal/internal/web"
)

func (s *Service) applyPage(c *web.Ctx) error { return c.PageForm("issuer/apply", web.NewForm(), nil) }

// takeContact reads contact data off a form and marks what is wrong.
func takeContact(f *web.Form) Contact {
	out := Contact{Email: f.Get("email"), Name: f.Get("name")}
	for field, key := range checkContact(out) {
		f.Fail(field, key)
	}
	return out
}

// applyForm answers every known id alike, claimed or not.
func (s *Service) applyForm(c *web.Ctx) error {
	f := c.Form()
	claim := Claim{EntryID: f.Get("entry"), Lang: c.Lang, Network: c.Network(), Contact: takeContact(f)}
	if claim.EntryID == "" {
		f.Fail("entry", "issuer.error.entry")
	}
	if f.OK() {
		if err := s.Claim(c.Std(), claim); err != nil {
			if err := formError(f, "entry", err); err != nil {
				return err
			}
		}
	}
	if !f.OK() {
		return c.PageForm("issuer/apply", f, nil)
	}
	return c.See("/issuer/apply/sent")
}

func (s *Service) codePage(c *web.Ctx) error { return c.PageForm("issuer/code", web.NewForm(), nil) }

func (s *Service) code(c *web.Ctx) error {
	f := c.Form()
	p := Proof{EntryID: f.Get("entry"), Code: f.Get("code"), Lang: c.Lang, Network: c.Network(), Refuse: f.Get("answer") == "refuse"}
	if !p.Refuse {
		p.Contact = takeContact(f)
	}
	var e Enrolment
	if f.OK() {
		var err error
		if e, err = s.Prove(c.Std(), p); err != nil {
			if err := formError(f, "code", err); err != nil {
				return err
			}
		}
	}
	switch {
	case !f.OK():
		return c.PageForm("issuer/code", f, nil)
	case p.Refuse:
		c.Flash("issuer.refused")
		return c.See("/issuer/apply")
	}
	// The set-up code is shown once, in this answer: it stands in no address.
	return c.Page("issuer/proven", e)
}

// ClaimIn claims an entry.
type ClaimIn struct {
	Entry string `json:"entry" maxlen:"60" doc:"number of the pharmacy, BSNR of the practice"`
	Name  string `json:"name" maxlen:"100" doc:"who will issue; contact data only"`
	Email string `json:"email" maxlen:"200"`
}

// AcceptedOut says what happens next, whether or not somebody claimed before.
type AcceptedOut struct {
	Next string `json:"next" enum:"letter" doc:"if one is due, a letter goes to the registry's address"`
}

// HTTPStatus says that something is under way.
func (AcceptedOut) HTTPStatus() int { return 202 }

func contactProblem(c Contact) error {
	p := web.Invalid()
	for field, key := range checkContact(c) {
		p.Fields = append(p.Fields, web.FieldError{Field: field, Key: key})
	}
	if len(p.Fields) == 0 {
		return nil
	}
	return p
}

func (s *Service) apiClaim(c *web.Ctx, in ClaimIn) (AcceptedOut, error) {
	claim := Claim{EntryID: in.Entry, Contact: Contact{in.Email, in.Name}, Lang: c.Lang, Network: c.Network()}
	if err := contactProblem(claim.Contact); err != nil {
		return AcceptedOut{}, err
	}
	return AcceptedOut{"letter"}, asProblem(s.Claim(c.Std(), claim))
}

// CodeIn is an activation code.
type CodeIn struct {
	Entry  string `json:"entry" maxlen:"60"`
	Code   string `json:"code" maxlen:"60"`
	Name   string `json:"name,omitempty" maxlen:"100"`
	Email  string `json:"email,omitempty" maxlen:"200"`
	Refuse bool   `json:"refuse,omitempty" doc:"true: nobody here asked for this; the claim ends"`
}

// CodeOut is the account with which the operator goes on; it is answered once.
type CodeOut struct {
	Login     string `json:"login,omitempty" doc:"empty: the claim was ended"`
	SetupCode string `json:"setup_code,omitempty" doc:"for the first security key, at /api/v1/staff/keys/offers/code"`
}

func (s *Service) apiCode(c *web.Ctx, in CodeIn) (CodeOut, error) {
	p := Proof{EntryID: in.Entry, Code: in.Code, Contact: Contact{in.Email, in.Name}, Lang: c.Lang, Network: c.Network(), Refuse: in.Refuse}
	if !in.Refuse {
		if err := contactProblem(p.Contact); err != nil {
			return CodeOut{}, err
		}
	}
	e, err := s.Prove(c.Std(), p)
	return CodeOut{e.Login, e.Code}, asProblem(err)
}
