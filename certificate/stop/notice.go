package stop

import (
	"context"
	"slices"
	"sync"
	"time"

	"impfportal/internal/pg"
	"impfportal/internal/web"
)

// noticeLife is how old what pages say of stops can be in another process. The
// switch itself is never read from here.
const noticeLife = 500 * time.Millisecond

// shownAfter is how long the notice of an ended stop stays.
const shownAfter = 24 * time.Hour

// noticeCache keeps the stops that pages tell of.
type noticeCache struct {
	mu    sync.Mutex
	until time.Time
	stops []Stop
}

func (n *noticeCache) forget() {
	n.mu.Lock()
	n.until = time.Time{}
	n.mu.Unlock()
}

// current returns the open stops and those that ended within a day, the latest
// first.
func (s *Service) current(ctx context.Context, q pg.Querier) ([]Stop, error) {
	now := s.Now()
	s.notices.mu.Lock()
	if now.Before(s.notices.until) && s.notices.until.Sub(now) <= noticeLife {
		defer s.notices.mu.Unlock()
		return s.notices.stops, nil
	}
	s.notices.mu.Unlock()
	list, err := read(ctx, q, `state <> 'lifted' OR lifted_at > $1`, now.Add(-shownAfter))
	if err != nil {
		return nil, err
	}
	s.notices.mu.Lock()
	s.notices.stops, s.notices.until = list, now.Add(noticeLife)
	s.notices.mu.Unlock()
	return list, nil
}

// Notice is what people read of a stop.
type Notice struct {
	Stop
	What        string   // what is stopped
	Why         string   // public reason
	NotAffected []string // who goes on; empty: nobody, or no telling
	Over        bool
}

// Notices returns what pages tell, in the reader's language.
func (s *Service) Notices(c *web.Ctx) ([]Notice, error) {
	list, err := s.current(c.Std(), s.Pool)
	if err != nil {
		return nil, err
	}
	out := make([]Notice, len(list))
	for i, st := range list {
		out[i] = Notice{Stop: st, What: scopeText(c, st.Scope), Why: st.Reason(c.Lang), NotAffected: notAffected(c, st.Scope), Over: st.State == Lifted}
	}
	return out, nil
}

var (
	kinds = []string{"centre", "mobile", "practice", "pharmacy"}
	paths = []string{"site", "web", "mtls", "card"}
)

// scopeText says in words what a stop applies to.
func scopeText(c *web.Ctx, s Scope) string {
	if s.Everything() {
		return c.T("stop.scope.all")
	}
	text := c.T("stop.scope.some")
	if s.Kind != "" {
		text = c.T("stop.scope.kind." + s.Kind)
	}
	if s.Path != "" {
		text += " " + c.T("stop.scope.path."+s.Path)
	}
	if s.Region != "" {
		text += " " + c.T("stop.scope.region", "Region", s.Region)
	}
	if s.KID != "" {
		text += " " + c.T("stop.scope.kid")
	}
	return text
}

// notAffected names who goes on. Vaccination and booking always do; the page
// says that in a sentence of its own.
func notAffected(c *web.Ctx, s Scope) (out []string) {
	if s.Everything() {
		return nil
	}
	if s.Kind != "" {
		for _, k := range kinds {
			if k != s.Kind {
				out = append(out, c.T("stop.goes.kind."+k))
			}
		}
	}
	if s.Path != "" {
		for _, p := range paths {
			if p != s.Path && !(p == "site" && slices.Contains([]string{"practice", "pharmacy"}, s.Kind)) {
				out = append(out, c.T("stop.goes.path."+p))
			}
		}
	}
	if s.Region != "" {
		out = append(out, c.T("stop.goes.region", "Region", s.Region))
	}
	return out
}

// Card shows the notices where certificates are looked for; nothing when
// everything works.
func (s *Service) Card() web.Card {
	return web.Card{Template: "stop/_notice", Data: func(c *web.Ctx) (any, error) {
		list, err := s.Notices(c)
		if err != nil || len(list) == 0 {
			return nil, err
		}
		return list, nil
	}}
}
