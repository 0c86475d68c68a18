package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"

	"impfportal/waitingroom"
)

// errRemote says which drills run on a portal of their own only.
var errRemote = errors.New("this drill needs a portal of its own; URL= works with ONLY=opening")

// administrator is the login at a running portal.
type administrator struct {
	*browser
}

// remoteLogin logs in at a running portal as the demo's administrator. The
// page with the demo logins exists in local runs only: anywhere else the drill
// is refused.
func remoteLogin(ctx context.Context, address string) (*administrator, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" || u.Host == "" {
		return nil, fmt.Errorf("URL is %q; it must be the address of a local run, such as http://127.0.0.1:8080", address)
	}
	b := newBrowser(u.Host, newClient(4))
	status, body, err := b.call(ctx, http.MethodGet, "/dev/logins?format=json", "")
	if err != nil {
		return nil, fmt.Errorf("the portal at %s does not answer: %w", address, err)
	}
	if status != http.StatusOK {
		return nil, fmt.Errorf("the portal at %s is no local run: a drill is refused there", address)
	}
	var logins map[string]struct{ Password, Code string }
	if err := json.Unmarshal(body, &logins); err != nil {
		return nil, fmt.Errorf("demo logins: %w", err)
	}
	name := os.Getenv("ADMIN_LOGIN")
	if name == "" {
		name = "admin"
	}
	login, ok := logins[name]
	if !ok {
		return nil, fmt.Errorf("the portal at %s has no demo login %q", address, name)
	}
	in, err := json.Marshal(map[string]string{"login": name, "password": login.Password, "code": login.Code})
	if err != nil {
		return nil, err
	}
	if err := b.want(ctx, http.StatusCreated, http.MethodPost, "/api/v1/staff/sessions", string(in), nil); err != nil {
		return nil, fmt.Errorf("log in as %s (a one-time code works once: wait half a minute, or set ADMIN_LOGIN): %w", name, err)
	}
	return &administrator{b}, nil
}

// valve is what the drill changes of the room, as the portal's API has it.
type valve struct {
	Rate      int    `json:"rate_per_minute"`
	Bound     int    `json:"active_bound"`
	Challenge string `json:"challenge,omitempty"`
}

const roomPath = "/api/v1/rooms/" + room

// remoteOpening sets rate and bound of a running portal. The line goes on; rate
// and bound are put back in the end.
func remoteOpening(ctx context.Context, address string) (*opening, error) {
	admin, err := remoteLogin(ctx, address)
	if err != nil {
		return nil, err
	}
	type status struct {
		ID string
		valve
		Phase           string
		Waiting, Inside int64
	}
	var all struct{ Rooms []status }
	if err := admin.want(ctx, http.StatusOK, http.MethodGet, "/api/v1/rooms", "", &all); err != nil {
		return nil, err
	}
	i := slices.IndexFunc(all.Rooms, func(s status) bool { return s.ID == room })
	if i < 0 {
		return nil, fmt.Errorf("the portal at %s has no room %s", address, room)
	}
	before := all.Rooms[i]
	if before.Phase != "open" || before.Waiting > 0 {
		return nil, fmt.Errorf("the room is %s and %d people wait: the drill wants an open room without a line", before.Phase, before.Waiting)
	}
	o := newOpening(&balancer{upstreams: []*upstream{newUpstream(admin.addr)}})
	// All come from this one address, of which the portal takes only so many at
	// once and lets the others prove work; and its grace is long, so more fit in.
	o.n = min(o.n, 2000)
	o.bound = o.n/2 + int(before.Inside)
	set := func(ctx context.Context, v valve) error {
		body, err := json.Marshal(v)
		if err != nil {
			return err
		}
		return admin.want(ctx, http.StatusOK, http.MethodPatch, roomPath, string(body), nil)
	}
	o.restore = func(ctx context.Context) error { return set(ctx, before.valve) }
	o.figures = func(ctx context.Context) (f lineFigures, err error) {
		return f, admin.want(ctx, http.StatusOK, http.MethodGet, roomPath+"/figures", "", &f)
	}
	return o, set(ctx, valve{Rate: o.rate, Bound: o.bound, Challenge: string(waitingroom.ChallengeOff)})
}
