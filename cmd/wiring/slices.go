package wiring

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/go-redis/redis_rate/v10"
	"github.com/gofiber/fiber/v2"
	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"impfportal/audit"
	"impfportal/booking"
	"impfportal/centre"
	"impfportal/certificate"
	"impfportal/certificate/certify"
	"impfportal/certificate/claim"
	"impfportal/certificate/desk"
	"impfportal/certificate/distrust"
	"impfportal/certificate/issuer"
	"impfportal/certificate/revocation"
	"impfportal/certificate/statement"
	"impfportal/certificate/stop"
	"impfportal/certificate/translog"
	"impfportal/certificate/verifier"
	"impfportal/citizen"
	"impfportal/hotline"
	"impfportal/internal/jobs"
	"impfportal/internal/pg"
	"impfportal/internal/web"
	"impfportal/inventory"
	"impfportal/mobileteams"
	"impfportal/notify"
	"impfportal/programme"
	"impfportal/retention"
	"impfportal/staff"
	"impfportal/staff/alert"
	"impfportal/staff/dualcontrol"
	"impfportal/staff/passkey"
	"impfportal/vaccination"
	"impfportal/waitingroom"
	"impfportal/waitingroom/defence"
)

// The letterhead and the telephone number of the demo; for real they are
// settings of the programme's texts.
var sender = []string{"Impfportal Sachsen (MUSTER)", "Musterstraße 1", "01067 Dresden"}

const hotlineNumber = "0800 000 2021"

// availabilityEvery is how old the free places on the start page can be.
const availabilityEvery = time.Second

// Slices are all slices, wired.
type Slices struct {
	env *Env
	mux *jobs.Mux

	Programme   *programme.Service
	Centre      *centre.Service
	Notify      *notify.Service
	Staff       *staff.Service
	Keys        *passkey.Service
	Dual        *dualcontrol.Service
	Alerts      *alert.Service
	Citizen     *citizen.Service
	Inventory   *inventory.Service
	Rooms       *waitingroom.Service
	Booking     *booking.Service
	Vaccination *vaccination.Service
	Certificate *certificate.Service
	Issuers     *issuer.Service
	Desk        *desk.Service
	Certify     *certify.Service
	Claim       *claim.Service
	Log         *translog.Log
	Stop        *stop.Service
	Distrust    *distrust.Service
	Statements  *statement.Service
	Revoked     *revocation.Publisher
	Revocation  *revocation.Desk
	Verifier    *verifier.Service
	Teams       *mobileteams.Service
	Hotline     *hotline.Service
	Retention   *retention.Service

	// Yardsticks adds addresses in front of the middleware; drills only.
	Yardsticks func(app *fiber.App)

	periodic []jobs.Periodic
	exempt   []retention.Exempt
}

// Build wires the slices in the order of the import line. What must go against
// it is handed over as a function.
func Build(env *Env) (_ *Slices, err error) {
	s := &Slices{env: env, mux: jobs.NewMux()}
	pool, now, v, log := env.Pool, env.Now, env.Vault, env.Log
	local := env.Cfg.Local()
	base := env.Cfg.PublicURL
	if base == "" {
		base = fmt.Sprintf("http://127.0.0.1:%d", env.Cfg.Port)
	}

	s.Programme = programme.New(pool)
	s.Centre = centre.New(pool)
	s.Notify = notify.New(notify.Config{
		Pool: pool, Vault: v, Now: now, Local: local, Sender: sender, From: env.Cfg.MailFrom,
		SMTP: notify.SMTP{
			Host: env.Cfg.SMTPHost, Port: env.Cfg.SMTPPort, User: env.Cfg.SMTPUser, Password: env.Cfg.SMTPPass, TLS: env.Cfg.SMTPTLS,
		},
		Twilio:  notify.Twilio{AccountSID: env.Cfg.TwilioSID, AuthToken: env.Cfg.TwilioToken, From: env.Cfg.TwilioFrom},
		BaseURL: base,
		Inbound: func(ctx context.Context, from, text string) (string, error) {
			return s.Booking.AnswerSMS(ctx, from, text)
		},
	})
	s.Staff = staff.New(pool, v, env.Redis, now, s.scopes, local)
	if s.Keys, err = passkey.New(passkey.Config{
		Pool: pool, Redis: env.Redis, Vault: v, Now: now, Log: log, Origin: strings.TrimSuffix(base, "/"), Local: local, Password: s.Staff.Login,
		MayCode: func(ctx context.Context, tx pgx.Tx, accountID string) error {
			return s.Issuers.MaySetUp(ctx, tx, accountID)
		},
		Alone: s.logAlone,
	}); err != nil {
		return nil, err
	}
	s.Dual = dualcontrol.New(dualcontrol.Config{Pool: pool, Keys: s.Keys, Now: now, Log: log, Approved: s.logApproval})
	draws, err := drawConfig(env)
	if err != nil {
		return nil, err
	}
	s.Rooms = waitingroom.New(waitingroom.Config{
		Draws: draws, StaffSince: staffSince(pool),
		Pool: pool, Redis: env.Redis, Now: now, Shift: env.Shift, Left: s.left, Keys: waitingroom.NewSigner(waitingroom.SignKey{ID: 1, Secret: v.Derive("waitingroom")}), Log: log,
		Notify: s.Notify, Vault: v, BaseURL: base,
		Defence: waitingroom.Defence{
			Limits: defence.Limits{Soft: env.Cfg.RoomNetworkRate, SoftBurst: env.Cfg.RoomNetworkBurst, Hard: env.Cfg.RoomNetworkFactor},
			Work:   defence.Work{Most: env.Cfg.RoomChallengeWork},
		},
	})
	s.Inventory = inventory.New(pool, now, log)
	s.Citizen = citizen.New(citizen.Config{
		Pool: pool, Redis: env.Redis, Vault: v, Notify: s.Notify, Now: now, Sender: sender, Hotline: hotlineNumber, BaseURL: base,
		Bookings: booking.Standing, CancelBookings: booking.CancelStanding, Pass: func(c *web.Ctx) string { return s.Rooms.PassID(c, "register") },
		Leave: s.Rooms.ReleaseRequest, Forget: s.forget,
		Changed: func(ctx context.Context, tx pgx.Tx, p citizen.Person) error {
			return s.Booking.ContactChanged(ctx, tx, p)
		},
		NextSteps: []func(c *web.Ctx) (*citizen.NextStep, error){
			func(c *web.Ctx) (*citizen.NextStep, error) { return s.Booking.NextStep(c) },
		},
		StartCards: []web.Card{s.Rooms.StartCard(), lateCard(func() web.Card { return s.Booking.StartCard() }), lateCard(func() web.Card { return s.Stop.Card() })},
		DataCards:  []web.Card{lateCard(func() web.Card { return s.Booking.DataCard() })},
		CaseCards: []web.Card{
			lateCard(func() web.Card { return s.Booking.CaseCard() }),
			lateCard(func() web.Card { return s.Certificate.Card() }),
		},
	})
	s.Booking = booking.New(booking.Deps{
		Pool: pool, Now: now, Log: log, Citizens: s.Citizen, Inventory: s.Inventory, Notify: s.Notify, BaseURL: base, Hotline: hotlineNumber,
		Release: s.Rooms.ReleaseRequest, Extend: s.Rooms.ExtendRequest, RulesKept: time.Second,
		Limiter: redis_rate.NewLimiter(env.Redis),
	})
	s.Vaccination = vaccination.New(pool, v, s.Inventory, s.Booking, s.Citizen)
	s.Vaccination.DecideBy(s.Dual, now)
	s.Vaccination.Certified = certified
	if err := s.buildCertificates(base); err != nil {
		return nil, err
	}
	if err := s.buildVerifier(); err != nil {
		return nil, err
	}
	if err := s.buildIssuers(base); err != nil {
		return nil, err
	}
	if err := s.buildCertify(base); err != nil {
		return nil, err
	}
	s.Claim = claim.New(claim.Config{
		Pool: pool, Vault: v, Now: now, Records: s.Vaccination, Certificates: s.Certificate, Send: s.Notify.Send, Sender: sender, BaseURL: strings.TrimSuffix(base, "/"),
	})
	s.Teams = mobileteams.New(pool, s.Inventory, s.Vaccination)
	s.buildStatements(strings.TrimSuffix(base, "/"))
	s.Inventory.TeamNames = s.teamNames
	s.Inventory.Demand = s.Booking.WeekDemand
	s.Inventory.Needs = s.Booking.DayNeeds
	s.Inventory.LotCards = []inventory.LotCard{s.Vaccination.LotCard}
	s.Hotline = hotline.New(hotline.Config{Pool: pool, Vault: v, Now: now, Citizens: s.Citizen, Booking: s.Booking, Notify: s.Notify, Rooms: s.Rooms, Phone: hotlineNumber, BaseURL: base})
	s.Alerts = alert.New(alert.Config{
		Pool: pool, Vault: v, Now: now, Log: log, Notify: s.Notify, BaseURL: base, Sources: []alert.Source{s.Log.Alerts(), s.Issuers.Alerts(), s.Certify.Alerts(), s.Keys.Alerts()},
	})
	s.buildRetention()
	s.registerJobs()
	return s, nil
}

// forget deletes what slices keep of persons under their ids alone.
func (s *Slices) forget(ctx context.Context, tx pgx.Tx, personIDs []string) error {
	if err := s.Booking.Forget(ctx, tx, personIDs); err != nil {
		return err
	}
	return s.Rooms.Forget(ctx, tx, personIDs)
}

// left tells how many people could still get what is behind a room: appointments
// of a whole series over the web. It is taken from the picture that is there
// anyway. Who registers takes nothing away from anybody.
func (s *Slices) left(ctx context.Context, group string) (n int64, ok bool, err error) {
	if group != "hold" {
		return 0, false, nil
	}
	a, err := s.Booking.Availability(ctx)
	if err != nil || a.Unplanned() {
		return 0, false, err
	}
	return int64(a.Free()), true, nil
}

// lateCard is the card of a slice that is built after the page it stands on.
func lateCard(get func() web.Card) web.Card {
	return web.Card{Late: get}
}

func (s *Slices) buildRetention() {
	var rules []retention.Rule
	add := func(r []retention.Rule, e []retention.Exempt) {
		rules, s.exempt = append(rules, r...), append(s.exempt, e...)
	}
	add(programme.RetentionRules(), programme.RetentionExempt())
	add(centre.RetentionRules(), centre.RetentionExempt())
	add(s.Notify.RetentionRules(), notify.RetentionExempt())
	add(passkey.RetentionRules(), passkey.RetentionExempt())
	add(alert.RetentionRules(), nil)
	add(nil, dualcontrol.RetentionExempt())
	add(s.Citizen.RetentionRules(), s.Citizen.RetentionExempt())
	add(inventory.RetentionRules(), inventory.RetentionExempt())
	add(s.Rooms.RetentionRules(), waitingroom.RetentionExempt())
	add(booking.RetentionRules(), booking.RetentionExempt())
	add(s.Vaccination.RetentionRules(), vaccination.RetentionExempt())
	add(certificate.RetentionRules(), certificate.RetentionExempt())
	add(claim.RetentionRules(), nil)
	add(revocation.RetentionRules(), revocation.RetentionExempt())
	add(nil, translog.RetentionExempt())
	add(nil, stop.RetentionExempt())
	add(nil, distrust.RetentionExempt())
	add(certify.RetentionRules(), certify.RetentionExempt())
	add(issuer.RetentionRules(s.env.Vault), issuer.RetentionExempt())
	add(statement.RetentionRules(), statement.RetentionExempt())
	add(mobileteams.RetentionRules(), mobileteams.RetentionExempt())
	add(hotline.RetentionRules(), hotline.RetentionExempt())
	s.Retention = retention.New(s.env.Pool, s.env.Now, rules)
}

func (s *Slices) registerJobs() {
	m := s.mux
	for _, p := range [][]jobs.Periodic{
		audit.Jobs(s.env.Pool), s.Retention.Jobs(), s.Notify.Jobs(m), s.Dual.Jobs(m), s.Alerts.Jobs(), s.Citizen.Jobs(m), s.Rooms.Jobs(m), s.Inventory.Jobs(m), s.Booking.Jobs(m), s.Certificate.Jobs(m), s.Log.Jobs(), s.Revoked.Jobs(), s.Revocation.Jobs(m), s.Hotline.Jobs(m),
		s.Issuers.Jobs(m), s.Statements.Jobs(), s.Certify.Jobs(),
	} {
		s.periodic = append(s.periodic, p...)
	}
}

// Worker returns the worker over all tasks.
func (s *Slices) Worker() *jobs.Worker {
	return jobs.NewWorker(s.env.Pool, s.env.Redis, s.mux, s.periodic, s.env.Now, s.env.Log, s.env.Cfg.Workers)
}

// work starts what the worker does: its tasks, and the sequencer of the log.
func (s *Slices) work(ctx context.Context, g *errgroup.Group) {
	g.Go(func() error { return s.Worker().Run(ctx) })
	g.Go(func() error { return s.Log.Run(ctx) })
}

// Routes is the one list of all addresses, in the order of the navigation.
func (s *Slices) Routes() []web.Route {
	var r []web.Route
	add := func(routes []web.Route) { r = append(r, routes...) }
	add(s.Citizen.Routes())
	add(staff.OverviewRoutes([]web.Card{s.Alerts.AdminCard(), s.Dual.AdminCard(), s.Keys.AdminCard(), s.Rooms.AdminCard(), s.Booking.AdminCard(), s.Inventory.AdminCard(), s.Vaccination.AdminCard(), s.Certificate.AdminCard(), s.Issuers.AdminCard(), s.Notify.AdminCard()}))
	add(s.Rooms.Routes())
	add(s.Booking.Routes())
	add(s.Hotline.Routes())
	add(s.Booking.DeskRoutes())
	add(s.Vaccination.Routes())
	add(s.Claim.Routes())
	add(s.Stop.Routes()) // before the certificates' own, whose :id would take its place
	add(s.Certificate.Routes())
	add(s.Distrust.Routes())
	add(s.Issuers.Routes())
	add(s.Desk.Routes())
	add(s.Certify.Routes())
	add(s.Statements.Routes())
	add(s.Teams.Routes())
	add(s.Centre.Routes())
	add(s.Inventory.Routes())
	add(s.Programme.Routes())
	add(s.Notify.Routes())
	add(s.Retention.Routes())
	add(s.Revocation.Routes())
	add(s.Revoked.Routes())
	add(s.Verifier.Routes())
	add(s.Log.Routes())
	add(audit.Routes(s.env.Pool, s.actorName))
	add(s.Alerts.Routes())
	add(s.Dual.Routes())
	add(s.Staff.Routes())
	add(s.Keys.Routes())
	return r
}

// Bundles lists the pages and texts of all slices.
func Bundles() []web.Bundle {
	return []web.Bundle{
		audit.Assets, retention.Assets, programme.Assets, centre.Assets, notify.Assets, staff.Assets, passkey.Assets, dualcontrol.Assets, alert.Assets, citizen.Assets, inventory.Assets,
		waitingroom.Assets, booking.Assets, vaccination.Assets, certificate.Assets, claim.Assets, translog.Assets, stop.Assets, distrust.Assets, revocation.Assets, verifier.Assets, mobileteams.Assets, hotline.Assets,
		issuer.Assets, desk.Assets, statement.Assets, certify.Assets,
	}
}

// App wires the application.
func (s *Slices) App() (*web.App, error) {
	cfg, routes := s.env.Cfg, s.Routes()
	s.Rooms.SetGroups(web.Gates(routes))
	return web.New(web.Config{
		Pool: s.env.Pool, Now: s.env.Now, Log: s.env.Log, Secret: s.env.webSecret(), Local: cfg.Local(), Origin: cfg.PublicURL,
		TrustedProxies: cfg.TrustedProxies, Bundles: Bundles(), Routes: routes, Gate: s.Rooms.Gate, Ready: s.env.Ready,
		Fast: s.mountFast, Metrics: s.env.Metrics, StaffLogin: "/staff/login", CitizenLogin: "/login",
	})
}

// mountFast registers what is answered in front of all middleware.
func (s *Slices) mountFast(app *fiber.App) {
	s.Rooms.MountFast(app)
	if s.Yardsticks != nil {
		s.Yardsticks(app)
	}
}

// actorName shows staff by name and everybody else by role and id.
func (s *Slices) actorName(c *web.Ctx, actor string) string {
	if kind, id, ok := strings.Cut(actor, ":"); ok && kind == "staff" {
		return s.Staff.NameOf(c.Std(), id)
	}
	return actor
}

// scopes lists the centres and teams that an account can belong to.
func (s *Slices) scopes(ctx context.Context) ([]web.Option, error) {
	var out []web.Option
	centres, err := centre.List(ctx, s.env.Pool)
	if err != nil {
		return nil, err
	}
	for _, c := range centres {
		out = append(out, web.Option{Value: c.ID, Label: c.Name})
	}
	teams, err := s.Teams.Teams(ctx, s.env.Pool)
	if err != nil {
		return nil, err
	}
	for _, t := range teams {
		out = append(out, web.Option{Value: t.ID, Label: t.Name})
	}
	return out, nil
}

// teamNames says what the teams are called on the stock's pages.
func (s *Slices) teamNames(ctx context.Context, q pg.Querier) (map[string]string, error) {
	teams, err := s.Teams.Teams(ctx, q)
	out := make(map[string]string, len(teams))
	for _, t := range teams {
		out[t.ID] = t.Name
	}
	return out, err
}

// background starts what each replica of the portal does by itself.
func (s *Slices) background(ctx context.Context, g *errgroup.Group) {
	g.Go(func() error { return s.Rooms.Run(ctx) })
	g.Go(func() error { s.Booking.KeepAvailability(ctx, availabilityEvery); return nil })
}

// Prepare loads what the first page needs; it must be quick.
func (s *Slices) Prepare(ctx context.Context) error { return s.Rooms.Refresh(ctx) }

// Uncovered lists tables without a retention rule or an exemption.
func (s *Slices) Uncovered(ctx context.Context) ([]string, error) {
	return s.Retention.Uncovered(ctx, s.exempt)
}

// Seed fills an empty local portal with the demo state of Saxony; it does
// nothing where something is there already.
func (s *Slices) Seed(ctx context.Context) error {
	now := s.env.Now()
	err := pg.InTx(ctx, s.env.Pool, func(tx pgx.Tx) error {
		for _, seed := range []func(context.Context, pgx.Tx, time.Time) error{
			programme.SeedDemo, centre.SeedDemo, s.Inventory.SeedDemo, booking.SeedDemo, s.Teams.SeedDemo, s.Keys.SeedDemo,
		} {
			if err := seed(ctx, tx, now); err != nil {
				return err
			}
		}
		return nil
	})
	if ctx.Err() != nil {
		return nil //nolint:nilerr // stopped meanwhile: the next start begins again
	}
	if err != nil {
		return fmt.Errorf("demo state: %w", err)
	}
	if err := s.Staff.SeedDemo(ctx, map[string]string{"zentrum": "leipzig", "team": mobileteams.DemoTeam1}); err != nil && ctx.Err() == nil {
		return fmt.Errorf("demo accounts: %w", err)
	}
	if err := s.Alerts.SeedDemo(ctx, now); err != nil && ctx.Err() == nil {
		return fmt.Errorf("demo addresses: %w", err)
	}
	return nil
}
