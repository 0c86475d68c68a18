package citizen

import (
	"crypto/hmac"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"impfportal/internal/clock"
	"impfportal/internal/web"
	"impfportal/programme"
)

// stepPage is what a page of the form shows.
type stepPage struct {
	Flow        string // "" before the first step was sent
	Step, Steps int
	Action      string
	Back        bool // there is a step before

	Groups    []web.Option // open today; value "programme/code"
	Closed    []string     // names of groups that have to wait
	Products  []web.Option
	Who       []web.Option
	Sexes     []web.Option
	Priors    []web.Option
	Proofs    []web.Option
	Countries []web.Option
	Languages []web.Option
	Summary   []summaryPart
}

// summaryPart is one step in 'check your answers'.
type summaryPart struct {
	Step int
	Name string
	Rows []summaryRow
}

type summaryRow struct{ Field, Label, Value string }

var stepTemplates = map[int]string{
	stepGroup: "citizen/register_group", stepPerson: "citizen/register_person", stepPrior: "citizen/register_prior",
	stepContact: "citizen/register_contact", stepCheck: "citizen/register_check",
}

func stepPath(flow string, step int) string { return "/register/" + flow + "/" + strconv.Itoa(step) }

func (s *Service) showFirst(c *web.Ctx) error {
	f := web.NewForm("who", "self")
	return s.stepPage(c, "", stepGroup, f, nil)
}

func (s *Service) postFirst(c *web.Ctx) error {
	return s.takeStep(c, newDraft(c.Now), stepGroup, true)
}

func (s *Service) showStep(c *web.Ctx) error {
	d, step, err := s.draftStep(c)
	if err != nil {
		return s.noDraft(c, err)
	}
	if first := s.firstOpen(c, d); step > first {
		return c.See(stepPath(d.Flow, first))
	}
	return s.stepPage(c, d.Flow, step, answers(d.Answers).form(), d.Answers)
}

func (s *Service) postStep(c *web.Ctx) error {
	d, step, err := s.draftStep(c)
	if err != nil {
		return s.noDraft(c, err)
	}
	if step == stepCheck {
		return web.NotFound()
	}
	return s.takeStep(c, d, step, false)
}

func (s *Service) draftStep(c *web.Ctx) (draft, int, error) {
	step := atoi(c.Params("step"))
	if c.Params("step") == "finish" { // the page after a refused finish, loaded again
		step = stepCheck
	}
	if step < stepGroup || step > stepCheck {
		return draft{}, 0, web.NotFound()
	}
	d, err := s.loadDraft(c)
	if err == nil && d.Done {
		return d, 0, &web.Problem{Status: http.StatusConflict, Key: "citizen.error.done", Link: "/register/" + d.Flow + "/done", LinkKey: "citizen.done.title"}
	}
	return d, step, err
}

// noDraft sends somebody whose draft is gone to the beginning, and says so.
func (s *Service) noDraft(c *web.Ctx, err error) error {
	if !errors.Is(err, errDraft) {
		return err
	}
	return &web.Problem{Status: http.StatusGone, Key: "citizen.error.draft", Link: "/register", LinkKey: "citizen.register.again"}
}

// takeStep takes what a step's form sent. What is wrong is shown on the same
// page, with everything that was typed; nothing is kept then.
func (s *Service) takeStep(c *web.Ctx, d draft, step int, first bool) error {
	f := c.Form()
	a := answers(d.Answers)
	a.take(step, f)
	d.Seen = c.Now
	if f.Get("back") != "" && step > stepGroup {
		if err := s.keepDraft(c, d); err != nil {
			return err
		}
		return c.See(stepPath(d.Flow, step-1))
	}
	e, err := s.check(c, formAnswers(a, step, f))
	if err != nil {
		return err
	}
	if f.Errors = e.only(stepFields[step]...); !f.OK() {
		flow := d.Flow
		if first {
			flow = ""
		}
		return s.stepPage(c, flow, step, f, a)
	}
	if first {
		if err := s.allowPass(c); err != nil {
			return err
		}
	}
	if err := s.keepDraft(c, d); err != nil {
		return err
	}
	next := s.firstOpen(c, d)
	if next <= step { // an earlier answer does not fit this one
		next = min(step+1, stepCheck)
	}
	return c.See(stepPath(d.Flow, next))
}

// formAnswers are the answers with this step's values as typed, however long.
func formAnswers(a answers, step int, f *web.Form) answers {
	all := answers{}
	for k, v := range a {
		all[k] = v
	}
	for _, name := range stepInputs[step] {
		all[name] = f.Get(name)
	}
	return all
}

// check lists everything that is wrong with the answers so far, in the order
// of the form.
func (s *Service) check(c *web.Ctx, a answers) (Invalid, error) {
	in, e := a.registration(c.Lang)
	e = e.merge(in.clean(clock.Day(c.Now)))
	if in.ProgrammeID != "" && in.GroupCode != "" {
		rules, err := s.checkRules(c.Std(), in, c.Now)
		if err != nil {
			return nil, err
		}
		e = e.merge(rules)
	}
	return e.sorted(), nil
}

// firstOpen is the first step that is not answered, without asking the database.
func (s *Service) firstOpen(c *web.Ctx, d draft) int {
	in, e := answers(d.Answers).registration(c.Lang)
	e = e.merge(in.clean(clock.Day(c.Now)))
	for step := stepGroup; step < stepCheck; step++ {
		if len(e.only(stepFields[step]...)) > 0 {
			return step
		}
	}
	return stepCheck
}

func (s *Service) cancelRegister(c *web.Ctx) error {
	if validFlow(c.Params("flow")) {
		s.forgetDraft(c, c.Params("flow"))
	}
	c.Flash("citizen.register.cancelled")
	return c.See("/")
}

// finishRegister registers. Pressed twice it registers once and shows the same
// login data: person, case number and secret come from the draft.
func (s *Service) finishRegister(c *web.Ctx) error {
	d, err := s.loadDraft(c)
	if err != nil {
		return s.noDraft(c, err)
	}
	if d.Done {
		return c.See("/register/" + d.Flow + "/done")
	}
	a := answers(d.Answers)
	in, e := a.registration(c.Lang)
	f := a.form()
	if len(e) > 0 {
		f.Errors = e
		return s.stepPage(c, d.Flow, stepCheck, f, a)
	}
	in.id, in.caseNumber, in.secret = d.PersonID, d.Case, d.Secret
	r, err := s.Register(c.Std(), in, SessionKind)
	if err != nil {
		if err := fail(f, err); err != nil {
			return err
		}
		f.Errors = Invalid{}.merge(f.Errors).sorted()
		return s.stepPage(c, d.Flow, stepCheck, f, a)
	}
	number, err := ParseCaseNumber(r.CaseNumber)
	if err != nil {
		return err
	}
	done := draft{
		Flow: d.Flow, PersonID: d.PersonID, Case: number, Secret: d.Secret, Started: c.Now, Seen: c.Now, Done: true,
		Answers: map[string]string{"name": r.Person.FullName(), "lang": r.Person.Lang, "told": told(r.Person)},
	}
	if err := s.keepDraft(c, done); err != nil {
		return err
	}
	return c.See("/register/" + d.Flow + "/done")
}

// told is the key of the sentence that says where the confirmation goes.
func told(p Person) string {
	switch {
	case reachable(p):
		return "message"
	case completeAddress(p.Address):
		return "letter"
	}
	return "nobody"
}

// stepPage shows a step with the form's values. known are the answers so far.
func (s *Service) stepPage(c *web.Ctx, flow string, step int, f *web.Form, known answers) error {
	d := stepPage{Flow: flow, Step: step, Steps: steps, Action: "/register", Back: step > stepGroup}
	if flow != "" {
		d.Action = stepPath(flow, step)
	}
	var err error
	switch step {
	case stepGroup:
		d.Who = s.choices(c, "who", "self", "relative")
		d.Groups, d.Closed, err = s.groups(c)
	case stepPerson:
		d.Sexes = s.choices(c, "sex", SexFemale, SexMale, SexDiverse, SexUnknown)
	case stepPrior:
		d.Priors = s.choices(c, "prior", "none", PriorDose, PriorRecovery)
		d.Proofs = append([]web.Option{{Label: c.T("web.choose")}}, s.proofOptions(c)...)
		programmeID, _, _ := strings.Cut(known["group"], "/")
		d.Products, err = s.products(c, programmeID)
	case stepContact:
		d.Countries = s.choices(c, "country", countries...)
		d.Languages = s.choices(c, "lang", "de", "en")
		if f.Get("country") == "" {
			f.Set("country", "DE")
		}
		if f.Get("lang") == "" {
			f.Set("lang", c.Lang)
		}
	case stepCheck:
		d.Action = "/register/" + flow + "/finish"
		d.Summary, err = s.summary(c, known)
	}
	if err != nil {
		return err
	}
	c.Set("Cache-Control", "private, no-store")
	return c.PageForm(stepTemplates[step], f, d)
}

// choices are options with the texts "citizen.<name>.<value>".
func (s *Service) choices(c *web.Ctx, name string, values ...string) []web.Option {
	out := make([]web.Option, len(values))
	for i, v := range values {
		out[i] = web.Option{Value: v, Label: c.T("citizen." + name + "." + v)}
	}
	return out
}

func (s *Service) proofOptions(c *web.Ctx) []web.Option {
	return s.choices(c, "prior_proof", append(append([]string{}, priorProofs[PriorDose]...), priorProofs[PriorRecovery]...)...)
}

// groups lists whose turn it is today, over all programmes, and who has to wait.
func (s *Service) groups(c *web.Ctx) (open []web.Option, closed []string, err error) {
	list, err := programme.Programmes(c.Std(), s.Pool, c.Lang)
	if err != nil {
		return nil, nil, err
	}
	for _, p := range list {
		groups, err := programme.GroupsOn(c.Std(), s.Pool, p.ID, c.Now, c.Lang)
		if err != nil {
			return nil, nil, err
		}
		for _, g := range groups {
			label := g.Name
			if len(list) > 1 {
				label = p.Name + ": " + g.Name
			}
			if g.Open {
				open = append(open, web.Option{Value: p.ID + "/" + g.Code, Label: label, Hint: c.T("citizen.group.proof", "Proof", g.Proof)})
			} else {
				closed = append(closed, label)
			}
		}
	}
	return open, closed, nil
}

func (s *Service) products(c *web.Ctx, programmeID string) ([]web.Option, error) {
	list, err := programme.Products(c.Std(), s.Pool, programmeID)
	if err != nil {
		return nil, err
	}
	out := []web.Option{{Label: c.T("web.choose")}}
	for _, p := range list {
		out = append(out, web.Option{Value: p.ID, Label: p.Name})
	}
	return out, nil
}

// showDone is the page with the login data. It can be shown again until the
// secret is used for the first time or the person leaves, half an hour at most;
// the server itself keeps only a hash.
func (s *Service) showDone(c *web.Ctx) error {
	d, err := s.doneDraft(c)
	if err != nil {
		return err
	}
	return s.donePage(c, d, &web.Form{})
}

func (s *Service) doneDraft(c *web.Ctx) (draft, error) {
	gone := &web.Problem{Status: http.StatusGone, Key: "citizen.done.gone", Link: "/login", LinkKey: "web.login"}
	d, err := s.loadDraft(c)
	if err != nil || !d.Done {
		return d, gone
	}
	unused, err := s.secretUnused(c.Std(), d.PersonID)
	if err != nil {
		return d, err
	}
	if !unused {
		s.forgetDraft(c, d.Flow)
		return d, gone
	}
	return d, nil
}

type donePage struct {
	Flow, Name, CaseNumber, Secret, Told string
}

func (s *Service) donePage(c *web.Ctx, d draft, f *web.Form) error {
	c.Set("Cache-Control", "private, no-store")
	return c.PageForm("citizen/done", f, donePage{
		Flow: d.Flow, Name: d.Answers["name"], CaseNumber: PrintCode(d.Case), Secret: PrintCode(d.Secret), Told: "citizen.done.told_" + d.Answers["told"],
	})
}

// postDone takes the secret typed once: right, and the person is logged in with
// it, and the page is gone. Who skips the test leaves without being logged in.
func (s *Service) postDone(c *web.Ctx) error {
	d, err := s.doneDraft(c)
	if err != nil {
		return err
	}
	f := c.Form()
	if f.Get("skip") != "" {
		s.forgetDraft(c, d.Flow)
		return c.See("/login")
	}
	typed, err := ParseSecret(f.Get("secret"))
	switch {
	case f.Get("secret") == "":
		f.Fail("secret", "citizen.error.secret_required")
	case err != nil:
		f.Fail("secret", "citizen.error.secret_typo")
	case !hmac.Equal([]byte(typed), []byte(d.Secret)):
		f.Fail("secret", "citizen.error.secret_other")
	}
	if !f.OK() {
		return s.donePage(c, d, f)
	}
	p, err := s.Login(c.Std(), d.Case, typed)
	if err != nil {
		return problem(err)
	}
	if _, err := c.Login(c.Std(), user(p), SessionTTL); err != nil {
		return err
	}
	s.forgetDraft(c, d.Flow)
	c.Flash("citizen.done.tested")
	return c.See("/my-case")
}

func (s *Service) loginSheet(c *web.Ctx) error {
	d, err := s.doneDraft(c)
	if err != nil {
		return err
	}
	b, err := s.LoginSheet(d.Answers["lang"], d.Answers["name"], PrintCode(d.Case), PrintCode(d.Secret), c.Now)
	if err != nil {
		return err
	}
	return c.Download("application/pdf", c.T("citizen.sheet.file"), b)
}
