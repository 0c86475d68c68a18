package vaccination

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"impfportal/audit"
	"impfportal/booking"
	"impfportal/citizen"
	"impfportal/internal/clock"
	"impfportal/internal/id"
	"impfportal/internal/pg"
	"impfportal/internal/vault"
	"impfportal/inventory"
	"impfportal/programme"
	"impfportal/staff/dualcontrol"
)

// Service records doses and shows a centre its day.
type Service struct {
	pool    *pgxpool.Pool
	vault   *vault.Vault
	stock   *inventory.Service
	booking *booking.Service
	citizen *citizen.Service
	// Certified finds the treatment record of a certificate's id (UVCI) as people type
	// it; "" when there is none, ErrCertificate for what is none. nil = not at this desk.
	Certified func(ctx context.Context, q pg.Querier, typed string) (recordID string, err error)

	dual *dualcontrol.Service // nil until DecideBy: then nothing waits for two people
}

// New makes the service.
func New(pool *pgxpool.Pool, v *vault.Vault, stock *inventory.Service, b *booking.Service, c *citizen.Service) *Service {
	return &Service{pool: pool, vault: v, stock: stock, booking: b, citizen: c}
}

// RecordDose is what is known when a dose is given.
type RecordDose struct {
	// Key makes the request repeatable: the same key gives the same record
	// (double click, retry after a lost answer). Required.
	Key string
	Now time.Time

	// AppointmentID is set for people with an appointment, CallID for those who were
	// called about a leftover dose (their channel is WalkIn); person, product and
	// dose number then come from it, and the following fields up to Recovered are
	// for people with neither.
	AppointmentID string
	CallID        string
	Channel       Channel
	Patient       Patient
	ProductID     string
	DoseNumber    int
	Prior         *PriorDose // what is stated about the dose before this one
	Recovered     bool       // a proven recovery counts: one dose completes the series

	// Passport is the spelling of the passport as the site has seen it (Schreibweise im
	// Pass), in place of the registration's; nil leaves that as it is.
	Passport *Passport

	Place      string          // centre id, or facility id for Mobile
	Region     string          // Region of the facility; a centre's own is known
	StockPlace inventory.Place // where the dose is taken from
	LotID      string

	Consent bool      // anamnesis and consent form are at hand, signed
	Forms   time.Time // their 'Stand' (day)

	Override *Override // gives the dose in spite of warnings
	Actor    string    // as in audit, "staff:<id>"
	Role     string
}

// Passport is a name as the passport spells it; both empty: as the name itself.
type Passport struct{ Family, Given string }

// Override names the warnings for which somebody takes responsibility, and why.
type Override struct {
	Rules  []string // codes of Warning
	Reason string   // required; stands sealed in the record
}

// sealed is the part of a record that only its own key opens.
type sealed struct {
	Patient
	OverrideReason string      `json:"override_reason,omitempty"`
	Stated         []PriorDose `json:"stated,omitempty"` // what was stated about the time before this dose
	Document       *Document   `json:"document,omitempty"`
}

const sealContext = "vaccination.record"

// Record gives and records one dose in one transaction and returns the
// record's id. Rules that the dose would break come back as *WarningsError, a
// dose that stands in the record already as *AlreadyGivenError.
func (s *Service) Record(ctx context.Context, in RecordDose) (recordID string, err error) {
	err = pg.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		recordID, err = s.RecordTx(ctx, tx, in)
		return err
	})
	return recordID, err
}

// RecordTx is Record inside the caller's transaction, which must be rolled
// back on error.
func (s *Service) RecordTx(ctx context.Context, tx pgx.Tx, in RecordDose) (recordID string, err error) {
	if err := in.check(); err != nil {
		return "", err
	}
	d, err := s.dose(ctx, tx, in)
	if err != nil {
		return "", err
	}
	// Doses of one person come one after the other from here on, so that two
	// stations cannot both find that nothing was given.
	if err := lockPerson(ctx, tx, d.index); err != nil {
		return "", err
	}
	if in.CallID != "" { // the number of the dose changes in the moment that one is noted
		if d, err = s.dose(ctx, tx, in); err != nil {
			return "", err
		}
	}
	if found, err := s.byKey(ctx, tx, in.Key, d); err != nil || found != "" {
		return found, err
	}
	if d.closed {
		return "", whyClosed(ctx, tx, d)
	}
	warnings, _, err := warnings(ctx, tx, d, in.Override)
	if err != nil {
		return "", err
	}
	if len(unaccepted(warnings, in.Override)) > 0 {
		return "", &WarningsError{warnings}
	}
	lot, err := lot(ctx, tx, in, d.productID)
	if err != nil {
		return "", err
	}
	if err := checkForms(ctx, tx, d.productID, in.Forms, clock.Day(in.Now)); err != nil {
		return "", err
	}
	recordID, repeated, err := s.insert(ctx, tx, in, d, lot, warnings)
	if err != nil || repeated {
		return recordID, err
	}
	return recordID, s.effects(ctx, tx, in, d, recordID)
}

// check looks at what can be judged without asking the database, and brings
// the person's details into their stored form.
func (in *RecordDose) check() error {
	switch {
	case in.Key == "" || len(in.Key) > maxKey, !id.Valid(in.LotID), in.Place == "", in.StockPlace == "", in.Now.IsZero(), in.Actor == "":
		return ErrInvalid
	case !in.Consent:
		return ErrNoConsent
	case in.Override != nil && utf8.RuneCountInString(in.Override.Reason) > maxReason:
		return ErrInvalid
	case in.Passport != nil && !in.Passport.clean():
		return ErrInvalid
	case in.AppointmentID != "":
		if !id.Valid(in.AppointmentID) || in.Channel != ByAppointment {
			return ErrInvalid
		}
		return nil
	case in.CallID != "":
		if !id.Valid(in.CallID) || in.Channel != WalkIn {
			return ErrInvalid
		}
		return nil
	case in.Channel != WalkIn && in.Channel != Mobile, in.DoseNumber < 1, len(in.Patient.Clean(clock.Day(in.Now))) > 0:
		return ErrInvalid
	}
	return nil
}

// dose is what is about to be recorded, however the person came.
type dose struct {
	patient       Patient
	index         []byte
	programmeID   string
	productID     string
	product       string // its name
	number, total int
	minDays       int
	maxDays       int
	seriesID      string
	loginPersonID string
	appointmentID string
	prior         *PriorDose
	recovered     *PriorDose // a proven recovery that counts as a dose
	day           time.Time
	closed        bool                   // the appointment is no longer open for a dose
	check         bool                   // the registration may be a second one of the same person
	visit         *booking.LeftoverVisit // after a call
}

func (s *Service) dose(ctx context.Context, tx pgx.Tx, in RecordDose) (dose, error) {
	d, err := s.doseOf(ctx, tx, in)
	if in.Passport != nil {
		d.patient.PassportFamily, d.patient.PassportGiven = in.Passport.Family, in.Passport.Given
	}
	return d, err
}

func (s *Service) doseOf(ctx context.Context, tx pgx.Tx, in RecordDose) (dose, error) {
	if in.AppointmentID != "" {
		d, _, err := s.bookedDose(ctx, tx, in.Place, in.AppointmentID, in.Now)
		return d, err
	}
	if in.CallID != "" {
		return s.calledDose(ctx, tx, in.Place, in.CallID, in.Now)
	}
	p, err := programme.ProductByID(ctx, tx, in.ProductID)
	if err != nil {
		return dose{}, ErrWrongProduct
	}
	d := dose{
		patient: in.Patient, index: s.index(in.Patient), programmeID: p.ProgrammeID, productID: p.ID, product: p.Name,
		number: in.DoseNumber, prior: in.Prior, day: clock.Day(in.Now),
	}
	series, err := programme.SeriesFor(ctx, tx, p.ID, d.day)
	if err != nil {
		return dose{}, fmt.Errorf("series of %s: %w", p.ID, err)
	}
	d.total = total(series.Doses, d.number, in.Recovered)
	if in.Recovered {
		d.recovered = &PriorDose{Recovered: true}
	}
	d.minDays, d.maxDays = series.MinDays, series.MaxDays
	return d, nil
}

// total is how many doses the series has for somebody who gets this one.
func total(rule, number int, recovered bool) int {
	if recovered && number == 1 {
		return 1
	}
	return max(rule, number)
}

// index is the blind index under which a person's doses are found.
func (s *Service) index(p Patient) []byte {
	return s.vault.BlindIndex("vaccination.person", personTerm(p))
}

// byKey finds the record that an earlier try with the same key has made.
func (s *Service) byKey(ctx context.Context, q pg.Querier, key string, d dose) (recordID string, err error) {
	var same bool
	err = q.QueryRow(ctx, `
		SELECT id, voided_at IS NULL AND person_index = $2 AND programme_id = $3 AND dose_number = $4 AND appointment_id IS NOT DISTINCT FROM $5
		  FROM vaccination.record WHERE request_key = $1`,
		key, d.index, d.programmeID, d.number, null(d.appointmentID)).Scan(&recordID, &same)
	switch {
	case pg.NoRows(err):
		return "", nil
	case err != nil:
		return "", fmt.Errorf("look up key: %w", err)
	case !same:
		return "", ErrKeyReused
	}
	return recordID, nil
}

// accepts reports whether the override takes responsibility for a warning.
func (o *Override) accepts(code string) bool {
	return o != nil && strings.TrimSpace(o.Reason) != "" && slices.Contains(o.Rules, code)
}

// warnings holds the dose against what is known of the person and the rules
// of the programme, and returns the dose before it, where one is known. Before
// a dose is recorded the person is locked.
func warnings(ctx context.Context, q pg.Querier, d dose, o *Override) (ws []Warning, prior *PriorDose, err error) {
	rows, err := q.Query(ctx, `
		SELECT id, product_id, dose_number, day, basis = 'given' FROM vaccination.record
		 WHERE person_index = $1 AND programme_id = $2 AND voided_at IS NULL ORDER BY day, dose_number`, d.index, d.programmeID)
	if err != nil {
		return nil, nil, fmt.Errorf("earlier doses: %w", err)
	}
	var (
		recordID, productID string
		number              int
		day                 time.Time
		given               bool
		same                string // record of the same dose number
	)
	prior = d.prior
	_, err = pgx.ForEachRow(rows, []any{&recordID, &productID, &number, &day, &given}, func() error {
		switch {
		case o.accepts(Namesake): // somebody else's doses say nothing
		case number == d.number && given: // what was only seen in a document refuses nothing
			same = recordID
		case number < d.number && (prior == nil || !day.Before(prior.Day)):
			prior = &PriorDose{ProductID: productID, Day: day}
		}
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("earlier doses: %w", err)
	}
	if same != "" {
		return nil, prior, &AlreadyGivenError{RecordID: same}
	}
	if o.accepts(Namesake) {
		ws = append(ws, Warning{Code: Namesake})
	}
	switch {
	case d.number == 1:
	case prior == nil:
		ws = append(ws, Warning{Code: NoPrior})
	case prior.Day.After(d.day):
		return nil, prior, ErrInvalid
	default:
		if w := checkInterval(prior.Day, d.day, d.minDays, d.maxDays); w != nil {
			ws = append(ws, *w)
		}
		if prior.ProductID != "" && prior.ProductID != d.productID {
			return nil, prior, ErrWrongProduct
		}
	}
	allowed, err := programme.AllowedProducts(ctx, q, d.programmeID, d.patient.Birth.Latest(), d.day)
	if err != nil {
		return nil, nil, fmt.Errorf("age limits: %w", err)
	}
	if !slices.ContainsFunc(allowed, func(p programme.Product) bool { return p.ID == d.productID }) {
		ws = append(ws, Warning{Code: Age})
	}
	return ws, prior, nil
}

// lot reads the lot and refuses one of another product or past its last day.
// Whether the place has a dose of it is the ledger's guarded answer later.
func lot(ctx context.Context, q pg.Querier, in RecordDose, productID string) (inventory.Lot, error) {
	l, err := inventory.LotByID(ctx, q, in.LotID)
	switch {
	case errors.Is(err, inventory.ErrNotFound), err == nil && l.ProductID != productID:
		return l, ErrWrongLot
	case err != nil:
		return l, fmt.Errorf("lot: %w", err)
	case clock.Day(in.Now).After(l.Expiry):
		return l, ErrLotExpired
	}
	return l, nil
}

// insert writes the record. It reports repeated when another transaction with
// the same key was faster; its record is the one.
func (s *Service) insert(ctx context.Context, tx pgx.Tx, in RecordDose, d dose, lot inventory.Lot, accepted []Warning) (recordID string, repeated bool, err error) {
	key, err := s.vault.NewKey(ctx, tx)
	if err != nil {
		return "", false, err
	}
	private := sealed{Patient: d.patient, Stated: d.stated()}
	codes := make([]string, 0, len(accepted))
	for _, w := range accepted {
		codes = append(codes, w.Code)
		private.OverrideReason = in.Override.Reason
	}
	box, err := key.SealJSON(sealContext, private)
	if err != nil {
		return "", false, fmt.Errorf("seal record: %w", err)
	}
	recordID = id.New()
	issuerRef, issuerKind := in.issuer()
	tag, err := tx.Exec(ctx, `
		INSERT INTO vaccination.record (id, request_key, key_id, sealed, person_index, programme_id, product_id,
		       lot_id, lot_number, dose_number, doses_total, day, given_at, channel, place, stock_place,
		       appointment_id, series_id, login_person_id, forms_stand, overrides, recorded_by,
		       issuer_ref, issuer_kind, operator, region, recorded_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25,
		        coalesce(nullif($26, ''), (SELECT left(postcode, 2) FROM centre.centre WHERE id = $15), ''), $13)
		ON CONFLICT (request_key) DO NOTHING`,
		recordID, in.Key, key.ID, box, d.index, d.programmeID, d.productID,
		lot.ID, lot.Number, d.number, d.total, d.day, in.Now, string(in.Channel), in.Place, string(in.StockPlace),
		null(d.appointmentID), null(d.seriesID), null(d.loginPersonID), in.Forms, codes, in.Actor,
		issuerRef, issuerKind, strings.TrimPrefix(in.Actor, "staff:"), in.Region)
	switch {
	case pg.Violates(err, "record_appointment"), pg.Violates(err, "record_person_dose"):
		return "", false, ErrAlreadyGiven // the lock on the person makes this a mere last line
	case err != nil:
		return "", false, fmt.Errorf("write record: %w", err)
	case tag.RowsAffected() == 0:
		if err := s.vault.Destroy(ctx, tx, key.ID); err != nil {
			return "", false, err
		}
		recordID, err = s.byKey(ctx, tx, in.Key, d)
		return recordID, true, err
	}
	return recordID, false, nil
}

// effects closes the appointment, tells audit and outbox, and at the very end
// takes the dose from the ledger: every dose of a lot queues on that one row.
func (s *Service) effects(ctx context.Context, tx pgx.Tx, in RecordDose, d dose, recordID string) error {
	if d.appointmentID != "" {
		err := s.booking.MarkDone(ctx, tx, d.appointmentID, in.Now)
		if errors.Is(err, booking.ErrState) || errors.Is(err, booking.ErrNotFound) {
			return ErrAppointment
		}
		if err != nil {
			return fmt.Errorf("close the appointment: %w", err)
		}
	}
	if d.visit != nil {
		err := s.booking.LeftoverGiven(ctx, tx, *d.visit, in.Place, in.Now, booking.By{Actor: in.Actor, Role: in.Role})
		if errors.Is(err, citizen.ErrHere) {
			return ErrCheckedIn
		}
		if errors.Is(err, booking.ErrState) || errors.Is(err, booking.ErrNotFound) {
			return ErrAppointment
		}
		if err != nil {
			return fmt.Errorf("close the call: %w", err)
		}
	}
	if (d.appointmentID != "" || d.visit != nil) && d.number == d.total {
		if err := citizen.SeriesDone(ctx, tx, d.loginPersonID, in.Now); err != nil {
			return err
		}
	}
	after := map[string]any{"product": d.productID, "lot": in.LotID, "dose": d.number, "place": in.Place, "channel": in.Channel}
	if in.Override != nil {
		after["overrides"] = in.Override.Rules
	}
	if err := audit.Write(ctx, tx, in.Now, audit.Entry{
		Actor: in.Actor, Role: in.Role, Action: "vaccination.recorded", Subject: "record:" + recordID, After: after,
	}); err != nil {
		return err
	}
	if err := Recorded.Enqueue(ctx, tx, RecordedPayload{RecordID: recordID}); err != nil {
		return err
	}
	err := s.stock.GiveDose(ctx, tx, inventory.Give{
		Place: in.StockPlace, LotID: in.LotID, Ref: recordID, Actor: in.Actor, At: in.Now, Booked: d.appointmentID != "",
	})
	switch {
	case errors.Is(err, inventory.ErrLotEmpty), errors.Is(err, inventory.ErrNotEnough):
		return ErrLotEmpty
	case errors.Is(err, inventory.ErrLotExpired):
		return ErrLotExpired
	case errors.Is(err, inventory.ErrLotBlocked):
		return ErrLotBlocked
	case err != nil:
		return fmt.Errorf("take the dose: %w", err)
	}
	return nil
}

// null turns "" into SQL's NULL.
func null(s string) any {
	if s == "" {
		return nil
	}
	return s
}
