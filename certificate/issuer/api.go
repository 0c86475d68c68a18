package issuer

import (
	"errors"
	"net/http"
	"slices"
	"time"
	"unicode/utf8"

	"impfportal/internal/web"
	"impfportal/staff"
)

// IssuerOut is an issuer in the administration's API.
type IssuerOut struct {
	ID      string    `json:"id"`
	Entry   string    `json:"entry"`
	Kind    string    `json:"kind" enum:"practice,pharmacy,centre,mobile"`
	Region  string    `json:"region"`
	Name    string    `json:"name"`
	State   string    `json:"state" enum:"claimed,sent,proven,active,paused,suspended,ended"`
	Since   time.Time `json:"since"`
	Why     string    `json:"why,omitempty" doc:"code of the reason"`
	Proving bool      `json:"reverify,omitempty" doc:"a new code must come back before it can be reactivated"`
	Licence string    `json:"licence" enum:"valid,suspended,withdrawn"`
	Listed  string    `json:"listed" enum:"listed,held,gone"`
}

func outOf(i Issuer) IssuerOut {
	return IssuerOut{i.ID, i.EntryID, i.Kind, i.Region, i.Name, i.State, i.Since, i.Why, i.Reverify, i.Licence, i.EntryState}
}

// ListIn filters issuers.
type ListIn struct {
	State string `json:"-" query:"state"`
	Q     string `json:"-" query:"q"`
}

// ListOut lists issuers.
type ListOut struct {
	Issuers []IssuerOut    `json:"issuers"`
	Counts  map[string]int `json:"counts" doc:"by state"`
}

func (s *Service) apiList(c *web.Ctx, in ListIn) (ListOut, error) {
	out := ListOut{Issuers: []IssuerOut{}}
	list, err := Search(c.Std(), s.Pool, in.State, in.Q)
	for _, i := range list {
		out.Issuers = append(out.Issuers, outOf(i))
	}
	if err == nil {
		out.Counts, err = Counts(c.Std(), s.Pool)
	}
	return out, err
}

// IDIn names an issuer.
type IDIn struct {
	ID string `json:"-" path:"id"`
}

// AlarmOut is an alarm.
type AlarmOut struct {
	Alarm   string     `json:"alarm" enum:"crowd,names,odd_hours,lot_fast,appointments,repeat,seen_day,seen_usual,lot_over"`
	At      time.Time  `json:"at"`
	Count   int        `json:"count"`
	Of      int        `json:"of,omitempty"`
	Lot     string     `json:"lot,omitempty"`
	Cleared *time.Time `json:"cleared_at"`
}

// ShowOut is one issuer with what belongs to it.
type ShowOut struct {
	IssuerOut
	Limits Limits     `json:"limits"`
	Lots   []Lot      `json:"lots"`
	Alarms []AlarmOut `json:"alarms"`
}

func (s *Service) apiShow(c *web.Ctx, in IDIn) (ShowOut, error) {
	p, err := s.showData(c, in.ID)
	if err != nil {
		return ShowOut{}, err
	}
	out := ShowOut{IssuerOut: outOf(p.Issuer), Limits: p.Limits, Lots: []Lot{}, Alarms: []AlarmOut{}}
	for _, l := range p.Lots {
		out.Lots = append(out.Lots, l.Lot)
	}
	for _, a := range p.Alarms {
		out.Alarms = append(out.Alarms, AlarmOut{a.Alarm, a.At, a.Measured.Count, a.Measured.Of, a.Measured.Lot, a.ClearedAt})
	}
	return out, nil
}

func (s *Service) apiPause(c *web.Ctx, in IDIn) (IssuerOut, error) {
	return s.apiRestrict(c, in, Paused)
}

func (s *Service) apiEnd(c *web.Ctx, in IDIn) (IssuerOut, error) { return s.apiRestrict(c, in, Ended) }

func (s *Service) apiRestrict(c *web.Ctx, in IDIn, state string) (IssuerOut, error) {
	if err := s.Restrict(c, in.ID, state); err != nil {
		return IssuerOut{}, err
	}
	i, err := s.issuerOf(c, in.ID)
	return outOf(i), err
}

// RegistryOut is the registry as we know it.
type RegistryOut struct {
	Authority  string     `json:"authority,omitempty"`
	Sequence   int64      `json:"sequence"`
	IssuedAt   *time.Time `json:"issued_at"`
	NextUpdate *time.Time `json:"next_update"`
	Stale      bool       `json:"stale"`
	Closed     bool       `json:"closed" doc:"out of date for so long that nothing new begins"`
	Entries    int        `json:"entries"`
	Held       int        `json:"held" doc:"vanished entries that wait for an administrator's look"`
	HoldUntil  *time.Time `json:"hold_until" doc:"when they take effect by themselves"`
	Pulls      []Pull     `json:"pulls"`
}

func (s *Service) apiRegistry(c *web.Ctx, _ struct{}) (RegistryOut, error) {
	p, err := s.registryData(c)
	out := RegistryOut{Stale: p.Stale, Closed: p.Head == nil || p.Closed, Entries: p.Entries, Held: p.Held, HoldUntil: p.HoldUntil, Pulls: p.Pulls}
	if p.Head != nil {
		out.Authority, out.Sequence, out.IssuedAt, out.NextUpdate = p.Head.Authority, p.Head.Sequence, &p.Head.IssuedAt, &p.Head.NextUpdate
	}
	if out.Pulls == nil {
		out.Pulls = []Pull{}
	}
	return out, err
}

// ConfirmOut says what took effect.
type ConfirmOut struct {
	Entries int64 `json:"entries"`
	Issuers int   `json:"issuers_suspended"`
}

func (s *Service) apiConfirm(c *web.Ctx, _ struct{}) (ConfirmOut, error) {
	n, suspended, err := s.Confirm(c.Std(), c.Actor())
	return ConfirmOut{n, suspended}, asProblem(err)
}

func (s *Service) apiPull(c *web.Ctx, _ struct{}) (Pull, error) {
	p, err := s.Pull(c.Std())
	return p, asProblem(err)
}

func (s *Service) apiLetter(c *web.Ctx, in IDIn) (struct{}, error) {
	i, err := s.issuerOf(c, in.ID)
	if err != nil {
		return struct{}{}, err
	}
	return struct{}{}, asProblem(s.LetterAgain(c.Std(), i.ID))
}

// OperatorOut is a person of the issuer.
type OperatorOut struct {
	ID       string `json:"id"`
	Name     string `json:"name"`
	Keys     int    `json:"keys" doc:"security keys that count"`
	Disabled bool   `json:"disabled,omitempty"`
}

// OperatorsOut lists the people of the issuer.
type OperatorsOut struct {
	Operators []OperatorOut `json:"operators"`
}

func (s *Service) apiOperators(c *web.Ctx, _ struct{}) (OperatorsOut, error) {
	out := OperatorsOut{Operators: []OperatorOut{}}
	i, err := s.mine(c)
	if err != nil {
		return out, err
	}
	list, err := accounts(c.Std(), s.Pool, i.ID)
	for _, a := range list {
		out.Operators = append(out.Operators, OperatorOut{a.ID, a.Name, a.Keys, a.Disabled})
	}
	return out, err
}

// InviteIn names another person.
type InviteIn struct {
	Name string `json:"name" maxlen:"100"`
}

// InviteOut is how that person gets the first key; it is answered once.
type InviteOut struct {
	Login string `json:"login"`
	Code  string `json:"code" doc:"set-up code of the first key"`
}

// HTTPStatus says that something was made.
func (InviteOut) HTTPStatus() int { return http.StatusCreated }

func (s *Service) apiInvite(c *web.Ctx, in InviteIn) (InviteOut, error) {
	i, err := s.mine(c)
	if err != nil {
		return InviteOut{}, err
	}
	if err := s.Keys.Fresh(c.Std(), c, actionOperators); err != nil {
		return InviteOut{}, err
	}
	if n := utf8.RuneCountInString(in.Name); n < 2 || n > 100 {
		return InviteOut{}, web.Invalid(web.FieldError{Field: "name", Key: "issuer.error.name"})
	}
	e, err := s.Invite(c.Std(), i.ID, in.Name, c.Actor())
	return InviteOut(e), asProblem(err)
}

func (s *Service) apiEndOperator(c *web.Ctx, in IDIn) (struct{}, error) {
	i, err := s.mine(c)
	if err != nil {
		return struct{}{}, err
	}
	if err := s.Keys.Fresh(c.Std(), c, actionOperators); err != nil {
		return struct{}{}, err
	}
	list, err := accounts(c.Std(), s.Pool, i.ID)
	if err != nil {
		return struct{}{}, err
	}
	if !slices.ContainsFunc(list, func(a Account) bool { return a.ID == in.ID && !a.Disabled }) {
		return struct{}{}, web.NotFound()
	}
	err = s.Staff.Disable(c.Std(), in.ID, true, c.User)
	if errors.Is(err, staff.ErrNotFound) {
		err = web.NotFound()
	}
	return struct{}{}, err
}

func (s *Service) apiTakeBack(c *web.Ctx, in IDIn) (struct{}, error) {
	i, err := s.mine(c)
	if err == nil {
		err = asProblem(s.TakeBack(c.Std(), i.ID, in.ID, c.Actor()))
	}
	return struct{}{}, err
}
