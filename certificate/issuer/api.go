package issuer

import (
	"time"

	"impfportal/internal/web"
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
	Alarm   string     `json:"alarm" enum:"crowd,names,odd_hours,lot_fast,appointments,repeat,lot_over"`
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
