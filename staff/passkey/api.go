package passkey

import (
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/clock"
	"impfportal/internal/id"
	"impfportal/internal/pg"
	"impfportal/internal/web"
	"impfportal/staff"
)

// Problem says an error of this slice in words; other errors stay what they are.
func Problem(err error) error {
	for _, p := range []struct {
		is     error
		status int
		key    string
	}{
		{ErrCloned, http.StatusForbidden, "passkey.error.cloned"},
		{ErrModel, http.StatusUnprocessableEntity, "passkey.error.model"},
		{ErrExpired, http.StatusForbidden, "passkey.error.expired"},
		{ErrRefused, http.StatusForbidden, "passkey.error.refused"},
		{ErrTaken, http.StatusConflict, "passkey.error.taken"},
		{ErrCode, http.StatusForbidden, "passkey.error.code"},
		{ErrHasKey, http.StatusConflict, "passkey.error.has_key"},
		{ErrLastKey, http.StatusConflict, "passkey.error.last"},
		{ErrNotFound, http.StatusNotFound, "web.error.not_found"},
		{ErrTooMany, http.StatusTooManyRequests, "passkey.error.too_many"},
		{ErrTwo, http.StatusConflict, "passkey.error.two"},
		{ErrProposed, http.StatusConflict, "passkey.error.proposed"},
		{staff.ErrNotFound, http.StatusNotFound, "web.error.not_found"},
		{staff.ErrLogin, http.StatusForbidden, "passkey.error.password"},
		{staff.ErrTooMany, http.StatusTooManyRequests, "passkey.error.too_many"},
	} {
		if errors.Is(err, p.is) {
			return errors.Join(web.Fail(p.status, p.key), err)
		}
	}
	return err
}

// FormTouch reads the touch that passkey.js has put into a form.
func FormTouch(f *web.Form) (t Touch, err error) {
	if json.Unmarshal([]byte(f.Get("touch")), &t) != nil {
		return t, ErrRefused
	}
	return t, nil
}

// LoginIn names who wants to log in.
type LoginIn struct {
	Login string `json:"login,omitempty" maxlen:"40" doc:"empty = any key that remembers its account"`
}

func (s *Service) apiAskLogin(c *web.Ctx, in LoginIn) (Asked, error) {
	asked, err := s.AskLogin(c.Std(), in.Login, c.Network())
	return asked, Problem(err)
}

func (s *Service) apiLogin(c *web.Ctx, in Touch) (staff.SessionOut, error) {
	u, err := s.Login(c.Std(), in, c.Network())
	if err != nil {
		return staff.SessionOut{}, Problem(err)
	}
	return staff.StartSession(c, u)
}

// CodeIn is an enrolment code as it was typed.
type CodeIn struct {
	Login string `json:"login" maxlen:"40"`
	Code  string `json:"code" maxlen:"100"`
}

func (s *Service) apiOfferCode(c *web.Ctx, in CodeIn) (Offered, error) {
	o, err := s.OfferWithCode(c.Std(), in.Login, in.Code, c.Network())
	return o, Problem(err)
}

// PasswordIn shows who somebody is before their first key.
type PasswordIn struct {
	Password string `json:"password" maxlen:"200"`
	Code     string `json:"code" maxlen:"20"`
}

func (s *Service) apiOfferPassword(c *web.Ctx, in PasswordIn) (Offered, error) {
	o, err := s.OfferWithPassword(c.Std(), c.User.ID, in.Password, in.Code, c.Network())
	return o, Problem(err)
}

func (s *Service) apiAskAdditional(c *web.Ctx, _ struct{}) (Asked, error) {
	asked, err := s.AskAdditional(c.Std(), c.User.ID)
	return asked, Problem(err)
}

func (s *Service) apiOfferAdditional(c *web.Ctx, in Touch) (Offered, error) {
	o, err := s.OfferAdditional(c.Std(), c.User.ID, in)
	return o, Problem(err)
}

// EnrolledOut is a key that was enrolled.
type EnrolledOut struct {
	ID string `json:"id"`
}

// HTTPStatus says that something was made.
func (EnrolledOut) HTTPStatus() int { return http.StatusCreated }

func (s *Service) apiEnrol(c *web.Ctx, in Made) (EnrolledOut, error) {
	if err := s.try(c.Std(), c.Network()); err != nil {
		return EnrolledOut{}, Problem(err)
	}
	if !validName(in.Name) {
		return EnrolledOut{}, web.Invalid(web.FieldError{Field: "name", Key: "passkey.error.name"})
	}
	_, keyID, err := s.Enrol(c.Std(), in)
	return EnrolledOut{keyID}, Problem(err)
}

func validName(name string) bool { return name != "" && len([]rune(name)) <= 60 }

// KeysOut lists keys.
type KeysOut struct {
	Keys []KeyOut `json:"keys"`
}

// KeyOut is a key without anything that an authenticator answers with.
type KeyOut struct {
	ID          string     `json:"id"`
	Name        string     `json:"name"`
	AAGUID      string     `json:"aaguid"`
	Model       string     `json:"model" doc:"empty = of no model that is allowed today"`
	Attestation string     `json:"attestation" enum:"basic,self,none"`
	SignCount   int64      `json:"sign_count"`
	CreatedAt   time.Time  `json:"created_at"`
	LastUsedAt  *time.Time `json:"last_used_at,omitempty"`
	DisabledAt  *time.Time `json:"disabled_at,omitempty"`
	DisabledWhy string     `json:"disabled_why,omitempty" enum:"removed,revoked,cloned"`
}

func (s *Service) apiKeys(c *web.Ctx, _ struct{}) (KeysOut, error) {
	keys, err := Keys(c.Std(), s.pool, c.User.ID, c.Now)
	out := KeysOut{Keys: []KeyOut{}}
	for _, k := range keys {
		out.Keys = append(out.Keys, KeyOut{k.ID, k.Name, k.AAGUID, k.Model, k.Attestation, k.SignCount, k.CreatedAt, k.LastUsedAt, k.DisabledAt, k.DisabledWhy})
	}
	return out, err
}

// RenameIn is a key's new name.
type RenameIn struct {
	ID   string `json:"-" path:"id"`
	Name string `json:"name" maxlen:"60"`
}

func (s *Service) apiRename(c *web.Ctx, in RenameIn) (struct{}, error) {
	return struct{}{}, s.rename(c, in.ID, in.Name)
}

func (s *Service) rename(c *web.Ctx, keyID, name string) error {
	switch {
	case !id.Valid(keyID):
		return web.NotFound()
	case !validName(name):
		return web.Invalid(web.FieldError{Field: "name", Key: "passkey.error.name"})
	}
	return Problem(s.Rename(c.Std(), c.User.ID, keyID, name))
}

// KeyIn names a key or an account.
type KeyIn struct {
	ID string `json:"-" path:"id"`
}

func (s *Service) apiAskRemove(c *web.Ctx, in KeyIn) (Asked, error) {
	if !id.Valid(in.ID) {
		return Asked{}, web.NotFound()
	}
	asked, err := s.AskRemove(c.Std(), c.User.ID, in.ID)
	return asked, Problem(err)
}

// RemoveIn is the touch that removes a key.
type RemoveIn struct {
	ID    string `json:"-" path:"id"`
	Touch Touch  `json:"touch"`
}

func (s *Service) apiRemove(c *web.Ctx, in RemoveIn) (struct{}, error) {
	if !id.Valid(in.ID) {
		return struct{}{}, web.NotFound()
	}
	return struct{}{}, Problem(s.Remove(c.Std(), c.User.ID, in.ID, in.Touch))
}

func (s *Service) apiRevoke(c *web.Ctx, in KeyIn) (struct{}, error) {
	if !id.Valid(in.ID) {
		return struct{}{}, web.NotFound()
	}
	return struct{}{}, Problem(s.Revoke(c.Std(), in.ID, c.Actor()))
}

// CodeOut is an enrolment code; it is answered once.
type CodeOut struct {
	Code  string    `json:"code"`
	Until time.Time `json:"until"`
}

// HTTPStatus says that something was made.
func (CodeOut) HTTPStatus() int { return http.StatusCreated }

// codeTTL is how long a code counts that an administrator hands out.
const codeTTL = 7 * 24 * time.Hour

func (s *Service) apiCode(c *web.Ctx, in KeyIn) (CodeOut, error) { return s.newCode(c, in.ID) }

func (s *Service) newCode(c *web.Ctx, accountID string) (out CodeOut, err error) {
	if !id.Valid(accountID) {
		return out, web.NotFound()
	}
	out.Until = c.Now.Add(codeTTL)
	err = pg.InTx(c.Std(), s.pool, func(tx pgx.Tx) (err error) {
		if s.cfg.MayCode != nil {
			if err := s.cfg.MayCode(c.Std(), tx, accountID); err != nil {
				return err
			}
		}
		out.Code, err = s.NewCode(c.Std(), tx, accountID, codeTTL, c.Actor())
		return err
	})
	return out, Problem(err)
}

// FreshIn names what a session is to be fresh for.
type FreshIn struct {
	Action string `json:"-" path:"action"`
}

func (s *Service) apiAskFresh(c *web.Ctx, in FreshIn) (Asked, error) {
	if !validAction(in.Action) {
		return Asked{}, web.NotFound()
	}
	asked, err := s.AskFresh(c.Std(), c, in.Action)
	return asked, Problem(err)
}

// RefreshIn is the touch that makes a session fresh.
type RefreshIn struct {
	Action string `json:"-" path:"action"`
	Touch  Touch  `json:"touch"`
}

// FreshOut says until when a session is fresh.
type FreshOut struct {
	Until time.Time `json:"until"`
}

func (s *Service) apiRefresh(c *web.Ctx, in RefreshIn) (FreshOut, error) {
	if !validAction(in.Action) {
		return FreshOut{}, web.NotFound()
	}
	until, err := s.Refresh(c.Std(), c, in.Action, in.Touch)
	return FreshOut{until}, Problem(err)
}

// ModelsOut lists authenticator models.
type ModelsOut struct {
	Models     []ModelOut        `json:"models"`
	Waiting    []WaitingModelOut `json:"waiting"`
	FirstSetup bool              `json:"first_setup" doc:"one administrator alone allows a model, because nobody could approve"`
}

// WaitingModelOut is a model that waits for two people.
type WaitingModelOut struct {
	ProposalID string `json:"proposal_id"`
	Approvals  int    `json:"approvals"`
	AAGUID     string `json:"aaguid"`
	Name       string `json:"name"`
	From       string `json:"from" doc:"YYYY-MM-DD"`
	To         string `json:"to,omitempty" doc:"YYYY-MM-DD, last day"`
}

// ModelOut is one model with the days on which it is allowed.
type ModelOut struct {
	AAGUID  string `json:"aaguid"`
	Name    string `json:"name"`
	From    string `json:"from" doc:"YYYY-MM-DD"`
	To      string `json:"to,omitempty" doc:"YYYY-MM-DD, last day"`
	InForce bool   `json:"in_force"`
	Virtual bool   `json:"virtual" doc:"no hardware; counts in a local run only"`
}

func (s *Service) apiModels(c *web.Ctx, _ struct{}) (ModelsOut, error) {
	out := ModelsOut{Models: []ModelOut{}, Waiting: []WaitingModelOut{}}
	v, err := s.models(c)
	for _, m := range v.Models {
		out.Models = append(out.Models, ModelOut{AAGUID: m.AAGUID, Name: m.Name, From: m.From.Format(time.DateOnly), To: m.last(), InForce: m.Now, Virtual: m.Virtual})
	}
	for _, w := range v.Waiting {
		out.Waiting = append(out.Waiting, WaitingModelOut{w.ProposalID, w.Approvals, w.AAGUID, w.Name, w.From.Format(time.DateOnly), w.last()})
	}
	out.FirstSetup = v.First
	return out, err
}

// ModelIn is a model that is to be allowed.
type ModelIn struct {
	AAGUID string `json:"aaguid" maxlen:"36"`
	Name   string `json:"name" maxlen:"100"`
	From   string `json:"from" doc:"YYYY-MM-DD"`
	To     string `json:"to,omitempty" doc:"YYYY-MM-DD, last day"`
	Roots  string `json:"roots" maxlen:"40000" doc:"PEM certificates of its maker"`
	Why    string `json:"why,omitempty" maxlen:"500" doc:"for the two who decide; not needed during the first set-up"`
}

func (in ModelIn) model(now time.Time) (m Model, p *web.Problem) {
	p = web.Invalid()
	add := func(field, key string) { p.Fields = append(p.Fields, web.FieldError{Field: field, Key: key}) }
	m = Model{AAGUID: in.AAGUID, Name: in.Name, Roots: in.Roots}
	if !id.Valid(in.AAGUID) {
		add("aaguid", "passkey.error.aaguid")
	}
	if in.Name == "" || len([]rune(in.Name)) > 100 {
		add("name", "passkey.error.model_name")
	}
	if _, err := rootCertificates(in.Roots); err != nil || len(in.Roots) > 40_000 {
		add("roots", "passkey.error.roots")
	}
	var err error
	if m.From, err = time.Parse(time.DateOnly, in.From); err != nil || m.From.Before(clock.Day(now)) {
		add("from", "passkey.error.from")
	}
	if in.To != "" {
		to, err := time.Parse(time.DateOnly, in.To)
		if err != nil || to.Before(m.From) {
			add("to", "passkey.error.to")
		}
		m.To = &to
	}
	if len(p.Fields) > 0 {
		return m, p
	}
	return m, nil
}

// ModelSetOut says what became of a model that was to be allowed.
type ModelSetOut struct {
	ProposalID string `json:"proposal_id,omitempty" doc:"what two people decide now; empty = the model is allowed"`
}

func (s *Service) apiAllowModel(c *web.Ctx, in ModelIn) (out ModelSetOut, err error) {
	first, err := FirstSetup(c.Std(), s.pool)
	if err != nil {
		return out, err
	}
	m, p := in.model(c.Now)
	if !first && (in.Why == "" || len([]rune(in.Why)) > 500) {
		if p == nil {
			p = web.Invalid()
		}
		p.Fields = append(p.Fields, web.FieldError{Field: "why", Key: "passkey.error.why"})
	}
	switch {
	case p != nil:
		return out, p
	case first:
		err = s.AllowModel(c.Std(), m, c.Actor())
	default:
		out.ProposalID, err = s.ProposeModel(c.Std(), m, in.Why, c.User.ID)
	}
	return out, Problem(err)
}

// EndModelIn names a row of the list of models.
type EndModelIn struct {
	AAGUID string `json:"-" path:"aaguid"`
	From   string `json:"-" path:"from"`
}

func (s *Service) apiEndModel(c *web.Ctx, in EndModelIn) (struct{}, error) {
	from, err := time.Parse(time.DateOnly, in.From)
	if err != nil || !id.Valid(in.AAGUID) {
		return struct{}{}, web.NotFound()
	}
	// Yesterday is the last day: from now on no key of it counts.
	return struct{}{}, Problem(s.EndModel(c.Std(), in.AAGUID, from, clock.Day(c.Now).AddDate(0, 0, -1), c.Actor()))
}
