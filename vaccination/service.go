package vaccination

import (
	"context"
	"encoding/binary"
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
)

// Service records doses and shows a centre its day.
type Service struct {
	pool    *pgxpool.Pool
	vault   *vault.Vault
	stock   *inventory.Service
	booking *booking.Service
	citizen *citizen.Service
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

	// AppointmentID is set for people with an appointment; person, product and
	// dose number then come from it, and the following fields up to Prior are
	// for people without one.
	AppointmentID string
	Channel       Channel
	Patient       Patient
	ProductID     string
	DoseNumber    int
	Prior         *PriorDose // what is stated about the dose before this one

	Place      string          // centre id, or facility id for Mobile
	StockPlace inventory.Place // where the dose is taken from
	LotID      string

	Consent bool      // anamnesis and consent form are at hand, signed
	Forms   time.Time // their 'Stand' (day)

	Override *Override // gives the dose in spite of warnings
	Actor    string    // as in audit, "staff:<id>"
	Role     string
}

// PriorDose is an earlier dose given elsewhere, as the vaccination pass says.
type PriorDose struct {
	ProductID string
	Day       time.Time // UTC midnight
}

// Override names the warnings for which somebody takes responsibility, and why.
type Override struct {
	Rules  []string // codes of Warning
	Reason string   // required; stands sealed in the record
}

// sealed is the part of a record that only its own key opens.
type sealed struct {
	Patient
	OverrideReason string `json:"override_reason,omitempty"`
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
	d.index = s.vault.BlindIndex("vaccination.person", personTerm(d.patient))
	// Doses of one person come one after the other from here on, so that two
	// stations cannot both find that nothing was given.
	if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, int64(binary.BigEndian.Uint64(d.index))); err != nil { //nolint:gosec // any 64 bits will do
		return "", fmt.Errorf("lock the person: %w", err)
	}
	if found, err := s.byKey(ctx, tx, in.Key, d); err != nil || found != "" {
		return found, err
	}
	if d.closed {
		return "", s.whyClosed(ctx, tx, in.AppointmentID)
	}
	warnings, err := s.warnings(ctx, tx, d, in.Override)
	if err != nil {
		return "", err
	}
	if open := unaccepted(warnings, in.Override); len(open) > 0 {
		return "", &WarningsError{open}
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

func (in RecordDose) check() error {
	switch {
	case in.Key == "" || len(in.Key) > 100, !id.Valid(in.LotID), in.Place == "", in.StockPlace == "", in.Now.IsZero(), in.Actor == "":
		return ErrInvalid
	case !in.Consent:
		return ErrNoConsent
	case in.Override != nil && utf8.RuneCountInString(in.Override.Reason) > maxReason:
		return ErrInvalid
	case in.AppointmentID != "":
		if !id.Valid(in.AppointmentID) || in.Channel != ByAppointment {
			return ErrInvalid
		}
		return nil
	case in.Channel != WalkIn && in.Channel != Mobile, in.DoseNumber < 1, len(in.Patient.Check(clock.Day(in.Now))) > 0:
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
	number, total int
	minDays       int
	maxDays       int
	seriesID      string
	loginPersonID string
	appointmentID string
	prior         *PriorDose
	day           time.Time
	closed        bool // the appointment is no longer open for a dose
}

func (s *Service) dose(ctx context.Context, tx pgx.Tx, in RecordDose) (dose, error) {
	if in.AppointmentID != "" {
		return s.bookedDose(ctx, tx, in)
	}
	p, err := programme.ProductByID(ctx, tx, in.ProductID)
	if err != nil {
		return dose{}, ErrWrongProduct
	}
	d := dose{patient: in.Patient, programmeID: p.ProgrammeID, productID: p.ID, number: in.DoseNumber, prior: in.Prior, day: clock.Day(in.Now)}
	series, err := programme.SeriesFor(ctx, tx, p.ID, d.day)
	if err != nil {
		return dose{}, fmt.Errorf("series of %s: %w", p.ID, err)
	}
	d.total = max(series.Doses, d.number)
	d.minDays, d.maxDays = series.MinDays, series.MaxDays
	return d, nil
}

// byKey finds the record that an earlier try with the same key has made.
func (s *Service) byKey(ctx context.Context, q pg.Querier, key string, d dose) (recordID string, err error) {
	var same bool
	err = q.QueryRow(ctx, `
		SELECT id, person_index = $2 AND programme_id = $3 AND dose_number = $4 AND appointment_id IS NOT DISTINCT FROM $5
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
// of the programme. The person is locked.
func (s *Service) warnings(ctx context.Context, q pg.Querier, d dose, o *Override) ([]Warning, error) {
	var ws []Warning
	rows, err := q.Query(ctx, `
		SELECT id, product_id, dose_number, day FROM vaccination.record
		 WHERE person_index = $1 AND programme_id = $2 ORDER BY day, dose_number`, d.index, d.programmeID)
	if err != nil {
		return nil, fmt.Errorf("earlier doses: %w", err)
	}
	var (
		recordID, productID string
		number              int
		day                 time.Time
		same                string // record of the same dose number
		prior               = d.prior
	)
	_, err = pgx.ForEachRow(rows, []any{&recordID, &productID, &number, &day}, func() error {
		switch {
		case o.accepts(Namesake): // somebody else's doses say nothing
		case number == d.number:
			same = recordID
		case number < d.number && (prior == nil || !day.Before(prior.Day)):
			prior = &PriorDose{ProductID: productID, Day: day}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("earlier doses: %w", err)
	}
	if same != "" {
		return nil, &AlreadyGivenError{same}
	}
	if o.accepts(Namesake) {
		ws = append(ws, Warning{Code: Namesake})
	}
	switch {
	case d.number == 1:
	case prior == nil:
		ws = append(ws, Warning{Code: NoPrior})
	case prior.Day.After(d.day):
		return nil, ErrInvalid
	default:
		if w := checkInterval(prior.Day, d.day, d.minDays, d.maxDays); w != nil {
			ws = append(ws, *w)
		}
		if prior.ProductID != "" && prior.ProductID != d.productID {
			return nil, ErrWrongProduct
		}
	}
	allowed, err := programme.AllowedProducts(ctx, q, d.programmeID, d.patient.Birth.Latest(), d.day)
	if err != nil {
		return nil, fmt.Errorf("age limits: %w", err)
	}
	if !slices.ContainsFunc(allowed, func(p programme.Product) bool { return p.ID == d.productID }) {
		ws = append(ws, Warning{Code: Age})
	}
	return ws, nil
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
	private := sealed{Patient: d.patient}
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
	tag, err := tx.Exec(ctx, `
		INSERT INTO vaccination.record (id, request_key, key_id, sealed, person_index, programme_id, product_id,
		       lot_id, lot_number, dose_number, doses_total, day, given_at, channel, place, stock_place,
		       appointment_id, series_id, login_person_id, forms_stand, overrides, recorded_by)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22)
		ON CONFLICT (request_key) DO NOTHING`,
		recordID, in.Key, key.ID, box, d.index, d.programmeID, d.productID,
		lot.ID, lot.Number, d.number, d.total, d.day, in.Now, string(in.Channel), in.Place, string(in.StockPlace),
		null(d.appointmentID), null(d.seriesID), null(d.loginPersonID), in.Forms, codes, in.Actor)
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

// effects takes the dose from the ledger, closes the appointment, and tells
// audit and outbox.
func (s *Service) effects(ctx context.Context, tx pgx.Tx, in RecordDose, d dose, recordID string) error {
	err := s.stock.GiveDose(ctx, tx, inventory.Give{
		Place: in.StockPlace, LotID: in.LotID, Ref: recordID, Actor: in.Actor, At: in.Now, Booked: d.appointmentID != "",
	})
	switch {
	case errors.Is(err, inventory.ErrLotEmpty):
		return ErrLotEmpty
	case errors.Is(err, inventory.ErrLotExpired):
		return ErrLotExpired
	case err != nil:
		return fmt.Errorf("take the dose: %w", err)
	}
	if d.appointmentID != "" {
		if err := s.booking.MarkDone(ctx, tx, d.appointmentID, in.Now); err != nil {
			return fmt.Errorf("close the appointment: %w", err)
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
	return Recorded.Enqueue(ctx, tx, RecordedPayload{RecordID: recordID})
}

// Get reads a record and opens its sealed part. ErrNotFound when there is none,
// vault.ErrDestroyed when its time was up.
func (s *Service) Get(ctx context.Context, q pg.Querier, recordID string) (Record, error) {
	rows, err := s.records(ctx, q, `r.id = $1`, recordID)
	if err != nil {
		return Record{}, err
	}
	if len(rows) == 0 {
		return Record{}, ErrNotFound
	}
	return rows[0], nil
}

// OfPerson returns the records that belong to a citizen's login, oldest first.
func (s *Service) OfPerson(ctx context.Context, q pg.Querier, personID string) ([]Record, error) {
	return s.records(ctx, q, `r.login_person_id = $1 AND k.id IS NOT NULL`, personID)
}

// At returns the records of a place and day, oldest first.
func (s *Service) At(ctx context.Context, q pg.Querier, place string, day time.Time) ([]Record, error) {
	return s.records(ctx, q, `r.place = $1 AND r.day = $2 AND k.id IS NOT NULL`, place, day)
}

// records reads and opens the records that a condition selects. where is a
// constant of this package, never input.
func (s *Service) records(ctx context.Context, q pg.Querier, where string, args ...any) ([]Record, error) {
	rows, err := q.Query(ctx, `
		SELECT r.id, r.key_id, r.sealed, k.wrapped, r.programme_id, r.product_id, r.lot_id, r.lot_number, r.dose_number,
		       r.doses_total, r.day, r.given_at, r.channel, r.place, coalesce(r.appointment_id::text, ''),
		       coalesce(r.login_person_id::text, '')
		  FROM vaccination.record r LEFT JOIN vault.key k ON k.id = r.key_id
		 WHERE `+where+` ORDER BY r.given_at, r.id`, args...)
	if err != nil {
		return nil, fmt.Errorf("read records: %w", err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (Record, error) {
		var (
			r            Record
			box, wrapped []byte
			private      sealed
		)
		err := row.Scan(&r.ID, &r.KeyID, &box, &wrapped, &r.ProgrammeID, &r.ProductID, &r.LotID, &r.LotNumber, &r.DoseNumber,
			&r.DosesTotal, &r.Day, &r.GivenAt, &r.Channel, &r.Place, &r.AppointmentID, &r.LoginPersonID)
		if err != nil {
			return r, err
		}
		if wrapped == nil {
			return r, vault.ErrDestroyed
		}
		key, err := s.vault.Unwrap(r.KeyID, wrapped)
		if err != nil {
			return r, err
		}
		if err := key.UnsealJSON(sealContext, box, &private); err != nil {
			return r, fmt.Errorf("record %s: %w", r.ID, err)
		}
		r.Patient = private.Patient
		return r, nil
	})
}

// null turns "" into SQL's NULL.
func null(s string) any {
	if s == "" {
		return nil
	}
	return s
}
