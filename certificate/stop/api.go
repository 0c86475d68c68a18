package stop

import (
	"errors"
	"time"

	"impfportal/internal/web"
)

type noticeJSON struct {
	ID          string   `json:"id"`
	What        string   `json:"what" doc:"what is stopped, in words"`
	Why         string   `json:"why"`
	State       string   `json:"state" doc:"stopped, returning, halted or lifted"`
	Since       string   `json:"since" doc:"RFC 3339"`
	Expected    string   `json:"expected,omitempty" doc:"day from which it may go on, ISO 8601"`
	LiftedAt    string   `json:"lifted_at,omitempty" doc:"RFC 3339"`
	NotAffected []string `json:"not_affected,omitempty" doc:"who goes on, in words"`
}

type noticesJSON struct {
	Notices []noticeJSON `json:"notices"`
}

func (s *Service) apiNotices(c *web.Ctx, _ struct{}) (noticesJSON, error) {
	list, err := s.Notices(c)
	out := noticesJSON{Notices: []noticeJSON{}}
	for _, n := range list {
		x := noticeJSON{ID: n.ID, What: n.What, Why: n.Why, State: n.State, Since: n.Since.UTC().Format(time.RFC3339), NotAffected: n.NotAffected}
		if n.Expected != nil {
			x.Expected = n.Expected.Format(time.DateOnly)
		}
		if n.LiftedAt != nil {
			x.LiftedAt = n.LiftedAt.UTC().Format(time.RFC3339)
		}
		out.Notices = append(out.Notices, x)
	}
	return out, err
}

type orderJSON struct {
	Kind     string `json:"kind,omitempty" doc:"centre, mobile, practice or pharmacy; all four scopes empty: everything"`
	Path     string `json:"path,omitempty" doc:"site, web, mtls or card"`
	Region   string `json:"region,omitempty" doc:"first two digits of the issuer's postcode"`
	KID      string `json:"kid,omitempty" doc:"key id of a document signer, hexadecimal"`
	ReasonDE string `json:"reason_de" doc:"public"`
	ReasonEN string `json:"reason_en" doc:"public"`
	Internal string `json:"internal" doc:"for the administration only"`
	Expected string `json:"expected,omitempty" doc:"day, ISO 8601"`
}

type orderedJSON struct {
	ID       string `json:"id"`
	UnderWay bool   `json:"under_way,omitempty" doc:"it counts, and something that began to sign before has not ended yet"`
}

func (s *Service) apiOrder(c *web.Ctx, in orderJSON) (orderedJSON, error) {
	o := Order{
		Scope:    Scope{Kind: in.Kind, Path: in.Path, Region: in.Region, KID: in.KID},
		ReasonDE: in.ReasonDE, ReasonEN: in.ReasonEN, Internal: in.Internal, Actor: c.Actor(), Role: string(web.RoleAdmin),
	}
	if in.Expected != "" {
		day, err := time.Parse(time.DateOnly, in.Expected)
		if err != nil {
			return orderedJSON{}, asProblem(ErrInvalid)
		}
		o.Expected = &day
	}
	stopID, err := s.Order(c.Std(), o)
	underWay := errors.Is(err, ErrUnderWay)
	if err != nil && !underWay {
		return orderedJSON{}, asProblem(err)
	}
	return orderedJSON{stopID, underWay}, nil
}

type admitJSON struct {
	ID     string `path:"id" json:"-"`
	Cohort int    `path:"cohort" json:"-"`
}

type admittedJSON struct {
	Failed map[string]string `json:"failed" doc:"members that were not let in, and why"`
}

func (s *Service) apiAdmit(c *web.Ctx, in admitJSON) (admittedJSON, error) {
	failed, err := s.Admit(c.Std(), in.ID, in.Cohort, c.Actor(), string(web.RoleAdmin))
	if err != nil {
		return admittedJSON{}, asProblem(err)
	}
	return admittedJSON{failed}, nil
}
