package waitingroom

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"impfportal/internal/web"
	"impfportal/waitingroom/defence"
)

// defenceRoutes are the addresses of the defence.
func (s *Service) defenceRoutes() []web.Route {
	watch := []web.Role{web.RoleAdmin, web.RoleAuditor}
	return []web.Route{
		{Method: http.MethodGet, Path: "/rooms/:room/challenge.json", Handle: s.getChallenge},
		{Method: http.MethodGet, Path: "/api/v1/rooms/:room/defence", Roles: watch, API: web.JSON("Whether arrivals look like machines, and why", s.apiDefence)},
	}
}

// getChallenge gives out a proof of work for this room and the network that
// asks, in the format of ALTCHA's widget.
func (s *Service) getChallenge(c *web.Ctx) error {
	v, err := s.view(c.Std(), c.Params("room"))
	if err != nil {
		return problem(err)
	}
	now, nets := s.roomNow(), defence.Networks(c.Address())
	if wait := s.defence(v).watch.Fetch(now, nets); wait > 0 {
		challengeOutcomes.WithLabelValues(v.id, "limited").Inc()
		return s.limited(c, v, wait)
	}
	ch, err := s.challenges().New(now, v.bound(nets))
	if err != nil {
		return err
	}
	challengeOutcomes.WithLabelValues(v.id, "issued").Inc()
	c.Set(fiber.HeaderCacheControl, "no-store")
	return c.JSON(ch)
}

// DefenceOut is how the defence of a room stands, over all replicas.
type DefenceOut struct {
	Challenge   Challenge      `json:"challenge" doc:"setting: auto, on, off"`
	Challenged  bool           `json:"challenged" doc:"newcomers must prove work now"`
	Machines    bool           `json:"machines" doc:"the verdict; it stays for five minutes after the last finding"`
	Since       *time.Time     `json:"since,omitempty"`
	LastFinding *time.Time     `json:"last_finding,omitempty"`
	Enough      bool           `json:"enough" doc:"arrivals in the last minute to judge at all"`
	Reasons     []ReasonOut    `json:"reasons" doc:"of the last minute"`
	Because     []ReasonOut    `json:"because" doc:"of the last finding, while the verdict says machines"`
	Joins       int64          `json:"joins" doc:"requests for a place in the last minute"`
	Limited     int64          `json:"limited" doc:"of them refused because of the limit of their network"`
	Behind      int64          `json:"behind" doc:"of them without proof, behind the line"`
	Proven      int64          `json:"proven" doc:"proofs that counted"`
	Refused     int64          `json:"refused" doc:"proofs that did not"`
	Networks    int64          `json:"networks" doc:"distinct networks, /24 and /48, estimated"`
	Unknown     int64          `json:"unknown" doc:"requests whose network is not known; many of them mean that the proxy is not configured"`
	Top         []NetworkShare `json:"top" doc:"the biggest networks of the last minute"`
	AgeMillis   int64          `json:"age_ms" doc:"how old the figures are"`
}

// ReasonOut is a reason in words.
type ReasonOut struct {
	defence.Reason
	Text string `json:"text" doc:"in the caller's language"`
}

// NetworkShare is what came from one network.
type NetworkShare struct {
	Network string `json:"network" doc:"never an address"`
	Joins   int64  `json:"joins"`
	Percent int    `json:"percent" doc:"of all"`
}

// topShown is how many networks administrators see.
const topShown = 5

// defenceView is DefenceOut for the partial _defence.html.
type defenceView = DefenceOut

// defenceView tells how the defence of v stands; at most about a second old. No I/O.
func (s *Service) defenceView(c *web.Ctx, v *view) defenceView {
	r := v.known.Load()
	out := defenceView{
		Challenge: r.Challenge, Challenged: s.challengeNow(v),
		Reasons: []ReasonOut{}, Because: []ReasonOut{}, Top: []NetworkShare{},
	}
	seen := s.defence(v).seen.Load()
	if seen == nil {
		return out
	}
	sig := seen.Signals
	out.Joins, out.Limited, out.Behind, out.Proven, out.Refused = sig.Joins, sig.Limited, sig.Behind, sig.Proven, sig.Refused
	out.Networks, out.Unknown = sig.Networks, max(0, sig.Joins-sig.Placed)
	out.Enough, out.AgeMillis = seen.verdict.Enough, max(0, s.roomNow().Sub(seen.At).Milliseconds())
	out.Reasons = reasonsInWords(c, seen.verdict.Reasons)
	if seen.Held.On {
		out.Machines, out.Since, out.LastFinding = true, &seen.Held.Began, &seen.Held.Last
		out.Because = reasonsInWords(c, seen.Held.Reasons)
	}
	for _, n := range sig.Top[:min(topShown, len(sig.Top))] {
		out.Top = append(out.Top, NetworkShare{n.Network, n.Joins, int(100 * n.Joins / max(1, sig.Placed))})
	}
	return out
}

func reasonsInWords(c *web.Ctx, reasons []defence.Reason) []ReasonOut {
	out := make([]ReasonOut, len(reasons))
	for i, r := range reasons {
		value, threshold := percent(c, r.Value), percent(c, r.Threshold)
		if r.Code == defence.Regular {
			value, threshold = decimal(c, r.Value), decimal(c, r.Threshold)
		}
		out[i] = ReasonOut{r, c.T("waitingroom.defence.reason."+string(r.Code), "Value", value, "Threshold", threshold)}
	}
	return out
}

// percent writes a share: "38 %", "38%".
func percent(c *web.Ctx, share float64) string {
	return c.T("waitingroom.defence.percent", "N", int(100*share+0.5))
}

// decimal writes two places: "0,25".
func decimal(c *web.Ctx, x float64) string {
	s := strconv.FormatFloat(x, 'f', 2, 64)
	if c.Lang == "de" {
		s = strings.Replace(s, ".", ",", 1)
	}
	return s
}

func (s *Service) apiDefence(c *web.Ctx, in roomIn) (DefenceOut, error) {
	v, err := s.view(c.Std(), in.Room)
	if err != nil {
		return DefenceOut{}, problem(err)
	}
	return s.defenceView(c, v), nil
}
