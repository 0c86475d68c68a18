package booking

import (
	"time"

	"impfportal/citizen"
	"impfportal/internal/web"
)

// freeNow is what somebody who waits, or is about to, could book at this moment.
type freeNow struct {
	Fits  []freeAt // where their wishes would do, the nearest first; without wishes where anything is free
	Times bool     // the wishes leave out a part of the day, which the picture does not tell
	More  bool     // something is free, but not as they wish
	Base  string   // where all that is free is chosen from
	Agent bool     // an agent reads it
}

// freeAt is a centre with what is free there from a day on.
type freeAt struct {
	Name string
	Day  time.Time // the first one that would do
	Free int       // on all days that would do
	Href string
	Key  string // an agent's, of the first; "" = none
}

// mostFits is how many centres are named.
const mostFits = 3

// freeFor looks into the picture for what would do for a person now; nil when
// nothing is free that they may have. It costs the database nothing (freeDays).
func (s *Service) freeFor(c *web.Ctx, person citizen.Person, entry *Waiting, ch Channel, ents []Entitlement) (*freeNow, error) {
	a, err := s.Availability(c.Std())
	if err != nil {
		return nil, err
	}
	free, err := s.freeDays(c.Std(), s.Pool, a, "", ch, ents)
	if err != nil || len(free) == 0 {
		return nil, err
	}
	out := &freeNow{Base: "/appointments", Times: entry != nil && len(entry.Parts) < len(dayParts)}
	at := func(centreID, day string) string { return "/appointments/at/" + centreID + "?day=" + day }
	if ch == Hotline {
		out.Agent, out.Base = true, "/hotline/persons/"+person.ID+"/book"
		at = func(centreID, day string) string { return out.Base + "?centre=" + centreID + "&day=" + day }
	}
	for _, near := range byDistance(a.list(), person.Address.Postcode) {
		f := freeAt{Name: near.Name}
		for _, d := range free[near.ID] {
			if entry != nil && !entry.matchDay(near.ID, d.Day, c.Now) {
				out.More = true
				continue
			}
			if f.Free += d.Free; f.Day.IsZero() {
				f.Day, f.Href = d.Day, at(near.ID, d.Day.Format(time.DateOnly))
			}
		}
		if f.Free > 0 && len(out.Fits) < mostFits {
			if ch == Hotline && len(out.Fits) == 0 {
				f.Key = "b"
			}
			out.Fits = append(out.Fits, f)
		}
	}
	return out, nil
}
