package citizen

import (
	"encoding/hex"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/go-redis/redis_rate/v10"

	"impfportal/internal/web"
)

// Attempts that are answered; mistyped codes are found before and do not count.
// A secret has 90 random bits, so the limits do not protect secrets: they keep
// load and noise down. That is why the tight one counts per case number and
// network together (nobody is locked out by a stranger elsewhere), and why a
// Redis that does not answer lets people in.
var (
	limitPair    = redis_rate.Limit{Rate: 10, Burst: 10, Period: 10 * time.Minute}
	limitCase    = redis_rate.Limit{Rate: 60, Burst: 60, Period: 10 * time.Minute}
	limitNetwork = redis_rate.Limit{Rate: 120, Burst: 120, Period: time.Minute}
	limitPass    = redis_rate.Limit{Rate: 10, Burst: 10, Period: 24 * time.Hour} // registrations with one pass
	limitLost    = redis_rate.Limit{Rate: 20, Burst: 20, Period: time.Hour}
)

// allow counts an attempt under what and returns a 429 when there were too
// many. What is counted stands in Redis as a keyed hash.
func (s *Service) allow(c *web.Ctx, limit redis_rate.Limit, kind string, what ...string) error {
	key := "citizen:" + kind
	for _, w := range what {
		key += ":" + hex.EncodeToString(s.Vault.MAC("citizen rate "+kind, []byte(w))[:10])
	}
	r, err := s.limiter.Allow(c.Std(), key, limit)
	if err != nil {
		slog.WarnContext(c.Std(), "rate limit not checked", "kind", kind, "err", err)
		return nil
	}
	if r.Allowed == 0 {
		seconds := int(r.RetryAfter.Seconds()) + 1
		c.Set("Retry-After", strconv.Itoa(seconds))
		return web.Fail(http.StatusTooManyRequests, "citizen.error.too_many", "Count", (seconds+59)/60, "Minutes", (seconds+59)/60)
	}
	return nil
}

// allowPass counts a registration that is begun with the waiting room's pass.
// Without a bound one place in the line would do for thousands.
func (s *Service) allowPass(c *web.Ctx) error {
	if s.Pass == nil {
		return nil
	}
	pass := s.Pass(c)
	if pass == "" {
		return nil // no room guards registering
	}
	err := s.allow(c, limitPass, "pass", pass)
	if p, ok := errors.AsType[*web.Problem](err); ok {
		p.Key, p.Args, p.Link, p.LinkKey = "citizen.error.pass_used", []any{"Max", limitPass.Burst}, "/login", "web.login"
	}
	return err
}

// user is a person as the session knows them.
func user(p Person) web.User {
	return web.User{Kind: SessionKind, ID: p.ID, Roles: citizens}
}

type loginPage struct{ To string }

func (s *Service) showLogin(c *web.Ctx) error {
	to := web.OwnPath(c.Query("to"), "/my-case")
	if c.User.Has(web.RoleCitizen) {
		return c.See(to)
	}
	return c.PageForm("citizen/login", &web.Form{}, loginPage{to})
}

func (s *Service) postLogin(c *web.Ctx) error {
	f := c.Form()
	to := web.OwnPath(f.Get("to"), "/my-case")
	p, err := s.CheckLogin(c, f)
	if err != nil {
		return err
	}
	if !f.OK() {
		return c.PageForm("citizen/login", f, loginPage{to})
	}
	if _, err := c.Login(c.Std(), user(p), SessionTTL); err != nil {
		return err
	}
	return c.See(to)
}

// CheckLogin checks the login data that were typed as case_number and secret, with
// all limits on trying; what is wrong stands in f.
func (s *Service) CheckLogin(c *web.Ctx, f *web.Form) (p Person, err error) {
	number, numberErr := ParseCaseNumber(f.Get("case_number"))
	secret, secretErr := ParseSecret(f.Get("secret"))
	switch {
	case f.Get("case_number") == "":
		f.Fail("case_number", "citizen.error.case_number_required")
	case numberErr != nil:
		f.Fail("case_number", "citizen.error.case_number_typo", "Example", CodeExample)
	}
	switch {
	case f.Get("secret") == "":
		f.Fail("secret", "citizen.error.secret_required")
	case secretErr != nil:
		f.Fail("secret", "citizen.error.secret_typo")
	}
	if !f.OK() {
		return Person{}, nil
	}
	net := c.Network()
	if err := s.allow(c, limitNetwork, "login network", net); err != nil {
		return Person{}, err
	}
	if err := s.allow(c, limitPair, "login pair", number, net); err != nil {
		return Person{}, err
	}
	if err := s.allow(c, limitCase, "login case", number); err != nil {
		return Person{}, err
	}
	p, err = s.Login(c.Std(), number, secret)
	if errors.Is(err, ErrLogin) {
		f.Fail("case_number", "citizen.error.login")
		return Person{}, nil
	}
	return p, err
}

func (s *Service) logout(c *web.Ctx) error {
	if s.Leave != nil {
		s.Leave(c) // while it is known who it is
	}
	if err := c.Logout(); err != nil {
		return err
	}
	c.Flash("citizen.logout.done")
	return c.See("/")
}

func (s *Service) showLost(c *web.Ctx) error {
	return c.PageForm("citizen/lost", &web.Form{}, nil)
}

// postLost answers everybody the same.
func (s *Service) postLost(c *web.Ctx) error {
	f := c.Form()
	r := LostRequest{CaseNumber: f.Get("case_number"), Family: f.Get("family_name"), Given: f.Get("given_name")}
	if r.CaseNumber == "" {
		birth, key := typedDate(f.Get("birth_day"), f.Get("birth_month"), f.Get("birth_year"))
		if key != "" {
			f.Fail("birth", "citizen.error."+key)
		}
		r.Birth = birth
	}
	err := s.lost(c, r, f)
	if err != nil {
		return err
	}
	if !f.OK() {
		return c.PageForm("citizen/lost", f, nil)
	}
	return c.Page("citizen/lost_sent", nil)
}

func (s *Service) lost(c *web.Ctx, r LostRequest, f *web.Form) error {
	if e := r.clean(); len(e) > 0 || !f.OK() {
		f.Errors = Invalid(f.Errors).merge(e)
		return nil
	}
	if err := s.allow(c, limitLost, "lost network", c.Network()); err != nil {
		return err
	}
	return s.RequestLogin(c.Std(), r)
}
