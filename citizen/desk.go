package citizen

import (
	"context"
	"strings"

	"github.com/google/uuid"

	"impfportal/internal/clock"
	"impfportal/internal/code"
	"impfportal/internal/pg"
	"impfportal/internal/web"
)

// DeskForm is what a page needs that asks for a whole registration at once, as
// an agent does. Its inputs are named like those of the steps.
type DeskForm struct {
	Who, Groups, Sexes, Priors, Products, Proofs, Countries, Languages []web.Option
	Closed                                                             []string // groups that have to wait
}

// DeskForm returns the choices of today and fills the usual ones into f.
func (s *Service) DeskForm(c *web.Ctx, f *web.Form) (DeskForm, error) {
	d := DeskForm{
		Who: s.choices(c, "who", "self", "relative"), Sexes: s.choices(c, "sex", SexFemale, SexMale, SexDiverse, SexUnknown),
		Priors: s.choices(c, "prior", "none", PriorDose, PriorRecovery), Countries: s.choices(c, "country", countries...),
		Languages: s.choices(c, "lang", "de", "en"), Proofs: append([]web.Option{{Label: c.T("web.choose")}}, s.proofOptions(c)...),
	}
	for name, usual := range map[string]string{"who": "self", "prior": "none", "country": "DE", "lang": "de"} {
		if f.Get(name) == "" {
			f.Set(name, usual)
		}
	}
	var err error
	if d.Groups, d.Closed, err = s.groups(c); err != nil {
		return d, err
	}
	programmeID, _, _ := strings.Cut(f.Get("group"), "/")
	d.Products, err = s.products(c, programmeID)
	return d, err
}

// RegisterDesk registers what stands in f, with the checks of every other
// registration. ok is false when something is wrong with it; f says what, and
// nothing is stored then. key (a UUID) names the form: sent again by the same
// person at the desk, after whatever went wrong, it registers nobody twice and
// answers with the same login data.
func (s *Service) RegisterDesk(c *web.Ctx, f *web.Form, key, by string) (done Registered, ok bool, err error) {
	a := answers{}
	for step := stepGroup; step < stepCheck; step++ {
		for _, name := range stepInputs[step] {
			a[name] = f.Get(name)
		}
	}
	in, e := a.registration(c.Lang)
	if len(e) > 0 {
		look := in
		f.Errors = e.merge(look.clean(clock.Day(c.Now))).sorted()
		return Registered{}, false, nil
	}
	s.fix(&in, key, by)
	if done, err = s.Register(c.Std(), in, by); err != nil {
		if err := fail(f, err); err != nil {
			return Registered{}, false, err
		}
		f.Errors = Invalid{}.merge(f.Errors).sorted()
		return Registered{}, false, nil
	}
	return done, true, nil
}

// APIRegistration and APIPerson are the JSON forms of a registration; other
// slices' operations for staff use the same.
type (
	APIRegistration = apiRegistration
	APIPerson       = apiPerson
)

// RegisterAPI is RegisterDesk for a JSON body.
func (s *Service) RegisterAPI(c *web.Ctx, in APIRegistration, key, by string) (Registered, error) {
	return s.registerAPI(c, in, key, by)
}

// fix makes person id and login data follow from the form's key and who sends
// it. The id keeps the time of the key, for the order of the index.
func (s *Service) fix(in *Registration, key, by string) {
	k, err := uuid.Parse(key)
	if err != nil {
		return // no key: a registration of its own
	}
	mac := func(what string) []byte { return s.Vault.MAC("citizen desk "+what, []byte(k.String()+"\x00"+by)) }
	copy(k[6:], mac("id"))
	k[6], k[8] = k[6]&0x0f|0x70, k[8]&0x3f|0x80 // version 7, RFC 9562
	in.id, in.caseNumber, in.secret = k.String(), code.Of(mac("case number"), caseLen), code.Of(mac("secret"), secretLen)
}

// PersonJSON is a person's JSON form.
func PersonJSON(p Person) APIPerson { return personOut(p) }

// Problem turns the errors of this package into what a caller is told.
func Problem(err error) error { return problem(err) }

// TypedDate reads a date typed in three fields, of which day and month may be
// missing; key is the text of what is wrong, or "". Nothing typed is the zero
// date.
func TypedDate(day, month, year string) (d PartialDate, key string) {
	d, key = typedDate(day, month, year)
	if key != "" {
		key = "citizen.error." + key
	}
	return d, key
}

// CheckCount is how many registrations wait for an agent's word.
func (s *Service) CheckCount(ctx context.Context, q pg.Querier) (n int, err error) {
	err = q.QueryRow(ctx, `SELECT count(*)::int FROM citizen.person WHERE state = 'check'`).Scan(&n)
	return n, wrap("checks", err)
}
