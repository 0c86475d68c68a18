package issuer

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/audit"
	"impfportal/internal/web"
	"impfportal/staff/dualcontrol"
)

// ruleRoutes are the addresses of the rules for all issuers.
func (s *Service) ruleRoutes() []web.Route {
	const path, api = "/admin/issuer-rules", "/api/v1/admin/issuer-rules"
	return []web.Route{
		{Method: "GET", Path: path, Roles: overseer, Nav: "issuer.nav_rules", NavGroup: "web.nav.certificates", Handle: s.rulesPage},
		{Method: "GET", Path: path + "/allowances/:kind/:age", Roles: admin, Handle: func(c *web.Ctx) error { return s.allowancePage(c, web.NewForm()) }},
		{Method: "POST", Path: path + "/allowances/:kind/:age", Roles: admin, Handle: s.allowanceForm},
		{Method: "GET", Path: path + "/thresholds/:alarm/:kind", Roles: admin, Handle: func(c *web.Ctx) error { return s.thresholdPage(c, web.NewForm()) }},
		{Method: "POST", Path: path + "/thresholds/:alarm/:kind", Roles: admin, Handle: s.thresholdForm},
		{Method: "GET", Path: api, Roles: overseer, API: web.JSON("What issuers may by kind, and when alarms trip", s.apiRules)},
		{Method: "PUT", Path: api + "/allowances/:kind/:age", Roles: admin, API: web.JSON("Set what issuers of a kind may; more makes a proposal for two administrators", s.apiAllowance)},
		{Method: "PUT", Path: api + "/thresholds/:alarm/:kind", Roles: admin, API: web.JSON("Set when an alarm trips; later makes a proposal for two administrators", s.apiThreshold)},
	}
}

// Percent is the ratio as pages and the API have it.
func (t Threshold) Percent() int { return int(math.Round(t.Ratio * 100)) }

// Minutes is the window as pages and the API have it.
func (t Threshold) Minutes() int { return int(t.Window / time.Minute) }

// Hours is the window in hours, 0 when it is no whole number of them.
func (t Threshold) Hours() int {
	if t.Minutes()%60 != 0 {
		return 0
	}
	return t.Minutes() / 60
}

// Path is the rule's address below that of all rules.
func (t Threshold) Path() string { return "thresholds/" + t.Alarm + "/" + t.kindName() }

// Path is the rule's address below that of all rules.
func (a Allowance) Path() string { return "allowances/" + a.Kind + "/" + a.age() }

type rulesData struct {
	Allowances []Allowance
	Alarms     []alarmRules
	Open       []dualcontrol.Proposal
	History    []ruleChange
	MayWrite   bool
}

type alarmRules struct {
	Alarm string
	Kinds []Threshold
}

// ruleChange is a line of the history, in words.
type ruleChange struct {
	At                time.Time
	Who               string
	Of, Before, After string
}

// rulesShown is how many changes the page shows.
const rulesShown = 30

func (s *Service) rulesData(c *web.Ctx) (p rulesData, err error) {
	p.MayWrite = c.User.Has(web.RoleAdmin)
	if p.Allowances, err = Allowances(c.Std(), s.Pool, c.Now); err != nil {
		return p, err
	}
	list, err := Thresholds(c.Std(), s.Pool, c.Now)
	if err != nil {
		return p, err
	}
	for chunk := range slices.Chunk(list, len(ruleKinds)) {
		p.Alarms = append(p.Alarms, alarmRules{chunk[0].Alarm, chunk})
	}
	open, err := dualcontrol.List(c.Std(), s.Pool, true, 200)
	for _, o := range open {
		if o.Kind == KindAllowance || o.Kind == KindThreshold {
			p.Open = append(p.Open, o)
		}
	}
	return p, err
}

func (s *Service) rulesPage(c *web.Ctx) error {
	p, err := s.rulesData(c)
	if err != nil {
		return err
	}
	rows, err := audit.Recent(c.Std(), s.Pool, ruleSubject, rulesShown)
	if err != nil {
		return err
	}
	for _, r := range rows {
		p.History = append(p.History, s.ruleChange(c, r))
	}
	return c.Page("issuer/rules", p)
}

// ruleChange says a row of the audit in words.
func (s *Service) ruleChange(c *web.Ctx, r audit.Row) ruleChange {
	out := ruleChange{At: r.At, Who: c.T("issuer.rules.two")}
	if accountID, ok := strings.CutPrefix(r.Actor, "staff:"); ok {
		out.Who = s.Staff.NameOf(c.Std(), accountID)
	}
	say := func(raw []byte) string {
		var x struct {
			Of string          `json:"of"`
			Is json.RawMessage `json:"is"`
		}
		if json.Unmarshal(raw, &x) != nil {
			return ""
		}
		out.Of = ruleName(c, r.Action, x.Of)
		if r.Action == KindAllowance {
			var l Limits
			_ = json.Unmarshal(x.Is, &l) // our own row
			return limitsText(c, l)
		}
		t, _ := Threshold{}.with(x.Is)
		return thresholdText(c, t)
	}
	out.Before, out.After = say(r.Before), say(r.After)
	return out
}

// ruleName names the rule of a proposal's subject.
func ruleName(c *web.Ctx, kind, subject string) string {
	first, second, _ := strings.Cut(subject, ":")
	if kind == KindAllowance {
		return c.T("issuer.kind."+first) + ", " + c.T("issuer.rules.age."+second)
	}
	return c.T("issuer.rules.alarm."+first) + ", " + c.T("issuer.rules.kind."+second)
}

func limitsText(c *web.Ctx, l Limits) string {
	return c.T("issuer.rules.limits", "Hourly", l.Hourly, "Burst", l.Burst, "OperatorHourly", l.OperatorHourly, "OperatorBurst", l.OperatorBurst,
		"SeenHourly", l.SeenHourly, "SeenBurst", l.SeenBurst, "Doses", l.WeeklyDoses)
}

func thresholdText(c *web.Ctx, t Threshold) string {
	key := "issuer.rules.threshold"
	if t.Ratio > 0 {
		key = "issuer.rules.threshold_ratio"
	}
	window := c.T("issuer.rules.minutes", "Count", t.Minutes())
	if h := t.Hours(); h > 0 {
		window = c.T("issuer.rules.hours", "Count", h)
	}
	return c.T(key, "N", t.AtLeast, "Percent", t.Percent(), "Window", window)
}

type allowancePage struct {
	Allowance
	Fields []string
	Open   *dualcontrol.Proposal
}

func (s *Service) allowancePage(c *web.Ctx, f *web.Form) error {
	a, err := allowanceOf(c.Std(), s.Pool, c.Params("kind")+":"+c.Params("age"), c.Now)
	if err != nil {
		return asProblem(err)
	}
	p := allowancePage{Allowance: a}
	for _, x := range limitFields(&a.Limits) {
		p.Fields = append(p.Fields, x.Name)
		if f.Get(x.Name) == "" {
			f.Set(x.Name, strconv.Itoa(*x.To))
		}
	}
	if p.Open, err = s.openRule(c.Std(), KindAllowance, a.subject()); err != nil {
		return err
	}
	return c.PageForm("issuer/allowance", f, p)
}

func (s *Service) openRule(ctx context.Context, kind, subject string) (*dualcontrol.Proposal, error) {
	p, open, err := dualcontrol.OpenFor(ctx, s.Pool, kind, subject)
	if err != nil || !open {
		return nil, err
	}
	return &p, nil
}

func (s *Service) allowanceForm(c *web.Ctx) error {
	f := c.Form()
	var l Limits
	numbers(f, &l)
	if !f.OK() {
		return s.allowancePage(c, f)
	}
	out, err := s.changeAllowance(c, c.Params("kind"), c.Params("age"), l, f.Get("why"))
	return s.ruleAnswer(c, f, out, err, "hourly", s.allowancePage)
}

// numbers reads limits off a form.
func numbers(f *web.Form, l *Limits) {
	for _, x := range limitFields(l) {
		n, err := strconv.Atoi(f.Get(x.Name))
		if err != nil {
			f.Fail(x.Name, "issuer.error.number")
		}
		*x.To = n
	}
}

// ruleAnswer ends a form: with what is wrong, or at the list of rules.
func (s *Service) ruleAnswer(c *web.Ctx, f *web.Form, out ProposalOut, err error, field string, again func(*web.Ctx, *web.Form) error) error {
	var p *web.Problem
	if errors.As(err, &p) && len(p.Fields) > 0 {
		f.Take(p)
	} else if err != nil {
		if err := formError(f, field, err); err != nil {
			return err
		}
	}
	if !f.OK() {
		return again(c, f)
	}
	c.Flash(map[bool]string{true: "issuer.rules.set", false: "issuer.proposed"}[out.ProposalID == ""])
	return c.See("/admin/issuer-rules")
}

// changeAllowance is what page and API do.
func (s *Service) changeAllowance(c *web.Ctx, kind, age string, l Limits, why string) (ProposalOut, error) {
	if age != "new" && age != "settled" {
		return ProposalOut{}, web.NotFound()
	}
	p := web.Invalid()
	if !l.Valid() {
		p.Fields = append(p.Fields, web.FieldError{Field: "hourly", Key: "issuer.error.limits"})
	}
	if key := checkWhy(why); key != "" {
		p.Fields = append(p.Fields, web.FieldError{Field: "why", Key: key})
	}
	if len(p.Fields) > 0 {
		return ProposalOut{}, p
	}
	proposalID, err := s.SetAllowance(c.Std(), kind, age == "settled", l, why, c.User.ID)
	return ProposalOut{proposalID}, asProblem(err)
}

type thresholdPage struct {
	Threshold
	Open *dualcontrol.Proposal
}

func (s *Service) thresholdPage(c *web.Ctx, f *web.Form) error {
	t, err := thresholdOf(c.Std(), s.Pool, c.Params("alarm")+":"+c.Params("kind"), c.Now)
	if err != nil {
		return asProblem(err)
	}
	for name, n := range map[string]int{"at_least": t.AtLeast, "percent": t.Percent(), "minutes": t.Minutes()} {
		if f.Get(name) == "" {
			f.Set(name, strconv.Itoa(n))
		}
	}
	p := thresholdPage{Threshold: t}
	if p.Open, err = s.openRule(c.Std(), KindThreshold, t.subject()); err != nil {
		return err
	}
	return c.PageForm("issuer/threshold", f, p)
}

func (s *Service) thresholdForm(c *web.Ctx) error {
	f := c.Form()
	in := ThresholdIn{Alarm: c.Params("alarm"), Kind: c.Params("kind"), Why: f.Get("why")}
	for name, to := range map[string]*int{"at_least": &in.AtLeast, "percent": &in.Percent, "minutes": &in.Minutes} {
		n, err := strconv.Atoi(f.Get(name))
		if err != nil {
			f.Fail(name, "issuer.error.number")
		}
		*to = n
	}
	if !f.OK() {
		return s.thresholdPage(c, f)
	}
	out, err := s.apiThreshold(c, in)
	return s.ruleAnswer(c, f, out, err, "at_least", s.thresholdPage)
}

// AllowanceOut is what issuers of a kind may.
type AllowanceOut struct {
	Kind    string    `json:"kind" enum:"pharmacy,practice,centre,mobile"`
	Age     string    `json:"age" enum:"new,settled"`
	NewDays int       `json:"new_days" doc:"how long after its activation an issuer counts as new"`
	From    time.Time `json:"from"`
	Limits  Limits    `json:"limits"`
}

// ThresholdOut is when an alarm trips.
type ThresholdOut struct {
	Alarm   string    `json:"alarm" enum:"crowd,names,odd_hours,lot_fast,appointments,repeat,seen_day,seen_usual"`
	Kind    string    `json:"kind" enum:"all,pharmacy,practice,centre,mobile"`
	Own     bool      `json:"own" doc:"false = that of all others"`
	From    time.Time `json:"from"`
	AtLeast int       `json:"at_least" doc:"certificates or persons; fewer never trip"`
	Percent int       `json:"percent" doc:"0 = the number alone counts"`
	Minutes int       `json:"minutes" doc:"how far back is counted"`
}

// RulesOut are the rules for all issuers.
type RulesOut struct {
	Allowances []AllowanceOut `json:"allowances"`
	Thresholds []ThresholdOut `json:"thresholds"`
}

func (s *Service) apiRules(c *web.Ctx, _ struct{}) (RulesOut, error) {
	out := RulesOut{Allowances: []AllowanceOut{}, Thresholds: []ThresholdOut{}}
	p, err := s.rulesData(c)
	for _, a := range p.Allowances {
		out.Allowances = append(out.Allowances, AllowanceOut{a.Kind, a.age(), a.NewDays, a.From, a.Limits})
	}
	for _, alarm := range p.Alarms {
		for _, t := range alarm.Kinds {
			out.Thresholds = append(out.Thresholds, ThresholdOut{t.Alarm, t.kindName(), t.Own, t.From, t.AtLeast, t.Percent(), t.Minutes()})
		}
	}
	return out, err
}

// AllowanceIn sets what issuers of a kind may.
type AllowanceIn struct {
	Kind   string `json:"-" path:"kind"`
	Age    string `json:"-" path:"age"`
	Limits Limits `json:"limits"`
	Why    string `json:"why" maxlen:"500"`
}

func (s *Service) apiAllowance(c *web.Ctx, in AllowanceIn) (ProposalOut, error) {
	return s.changeAllowance(c, in.Kind, in.Age, in.Limits, in.Why)
}

// ThresholdIn sets when an alarm trips.
type ThresholdIn struct {
	Alarm   string `json:"-" path:"alarm"`
	Kind    string `json:"-" path:"kind"`
	AtLeast int    `json:"at_least"`
	Percent int    `json:"percent" doc:"0 = the number alone counts"`
	Minutes int    `json:"minutes"`
	Why     string `json:"why" maxlen:"500"`
}

func (s *Service) apiThreshold(c *web.Ctx, in ThresholdIn) (ProposalOut, error) {
	t, err := thresholdOf(c.Std(), s.Pool, in.Alarm+":"+in.Kind, c.Now)
	if err != nil {
		return ProposalOut{}, asProblem(err)
	}
	ratio := t.Ratio > 0
	t.AtLeast, t.Ratio, t.Window = in.AtLeast, float64(in.Percent)/100, time.Duration(in.Minutes)*time.Minute
	p := web.Invalid()
	if !t.valid() {
		p.Fields = append(p.Fields, web.FieldError{Field: "at_least", Key: "issuer.error.threshold"})
	}
	if ratio != (in.Percent > 0) { // an alarm counts one or the other
		p.Fields = append(p.Fields, web.FieldError{Field: "percent", Key: "issuer.error.percent"})
	}
	if key := checkWhy(in.Why); key != "" {
		p.Fields = append(p.Fields, web.FieldError{Field: "why", Key: key})
	}
	if len(p.Fields) > 0 {
		return ProposalOut{}, p
	}
	proposalID, err := s.SetThreshold(c.Std(), t, in.Why, c.User.ID)
	return ProposalOut{proposalID}, asProblem(err)
}

// ruleHandler is what dualcontrol calls for proposals about rules.
func (s *Service) ruleHandler(kind string) dualcontrol.Handler {
	return dualcontrol.Handler{
		Title: func(c *web.Ctx, p dualcontrol.Proposal) (string, error) {
			return c.T("issuer.proposal."+kind, "Rule", ruleName(c, kind, p.Subject)), nil
		},
		Changes: func(c *web.Ctx, p dualcontrol.Proposal) ([]dualcontrol.Change, error) {
			if kind == KindAllowance {
				a, err := allowanceOf(c.Std(), s.Pool, p.Subject, c.Now)
				if err != nil {
					return nil, err
				}
				var l Limits
				if err := json.Unmarshal(p.Payload, &l); err != nil {
					return nil, err
				}
				return before(p, limitChanges(c, a.Limits, l)...), nil
			}
			t, err := thresholdOf(c.Std(), s.Pool, p.Subject, c.Now)
			if err != nil {
				return nil, err
			}
			next, err := t.with(p.Payload)
			return before(p, dualcontrol.Change{What: ruleName(c, kind, p.Subject), Before: thresholdText(c, t), After: thresholdText(c, next)}), err
		},
		Apply: func(ctx context.Context, tx pgx.Tx, p dualcontrol.Proposal) error {
			return asProblem(s.applyRule(ctx, tx, p))
		},
	}
}
