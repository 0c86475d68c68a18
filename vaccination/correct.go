package vaccination

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"impfportal/audit"
	"impfportal/centre"
	"impfportal/internal/clock"
	"impfportal/internal/id"
	"impfportal/internal/jobs"
	"impfportal/internal/pg"
	"impfportal/inventory"
	"impfportal/programme"
)

// Corrected tells that a record says something else than before, that it was removed, or
// that one of an earlier dose of the person was, by which this one's may be numbered. It is
// enqueued in the transaction that corrects it.
var Corrected = jobs.Define[RecordedPayload]("vaccination.corrected")

// Errors of correcting a record.
var (
	ErrChanged   = errors.New("vaccination: the record was changed meanwhile")
	ErrUnchanged = errors.New("vaccination: nothing to correct")
	ErrRemoved   = errors.New("vaccination: the record was removed")
	ErrReason    = errors.New("vaccination: a correction needs a reason")
	ErrLot       = errors.New("vaccination: no such lot")
	ErrDay       = errors.New("vaccination: no day on which the dose can have been given")
	// errRightLotEmpty is ErrLotEmpty of a correction.
	errRightLotEmpty = fmt.Errorf("the right lot: %w", ErrLotEmpty)
	ErrSite          = errors.New("vaccination: the place of this record cannot be corrected")
)

// Content is what a correction can change of a record.
type Content struct {
	FamilyName     string      `json:"family_name"`
	GivenName      string      `json:"given_name"`
	PassportFamily string      `json:"passport_family,omitempty"`
	PassportGiven  string      `json:"passport_given,omitempty"`
	Birth          PartialDate `json:"birth"`
	Day            time.Time   `json:"day"` // UTC midnight
	DoseNumber     int         `json:"dose_number"`
	DosesTotal     int         `json:"doses_total"`
	ProductID      string      `json:"product_id"`
	LotNumber      string      `json:"lot_number"` // with ProductID the lot; at a site one of its stock
	Place          string      `json:"place"`      // another centre, for a record of a centre
}

// Content returns what stands in the record.
func (r Record) Content() Content {
	p := r.Patient
	return Content{
		p.FamilyName, p.GivenName, p.PassportFamily, p.PassportGiven, p.Birth,
		r.Day, r.DoseNumber, r.DosesTotal, r.ProductID, r.LotNumber, r.Place,
	}
}

// Names of what a correction changes.
const (
	changedName     = "name"
	changedPassport = "passport"
	changedBirth    = "birth"
	changedDay      = "day"
	changedDose     = "dose"
	changedLot      = "lot" // with it the vaccine
	changedPlace    = "place"
)

// Changed names what is different between two contents, in a fixed order.
func (c Content) Changed(to Content) (out []string) {
	for _, f := range []struct {
		name string
		same bool
	}{
		{changedName, c.FamilyName == to.FamilyName && c.GivenName == to.GivenName},
		{changedPassport, c.PassportFamily == to.PassportFamily && c.PassportGiven == to.PassportGiven},
		{changedBirth, c.Birth == to.Birth},
		{changedDay, c.Day.Equal(to.Day)},
		{changedDose, c.DoseNumber == to.DoseNumber && c.DosesTotal == to.DosesTotal},
		{changedLot, c.LotNumber == to.LotNumber && c.ProductID == to.ProductID},
		{changedPlace, c.Place == to.Place},
	} {
		if !f.same {
			out = append(out, f.name)
		}
	}
	return out
}

// Correction is what somebody corrects in a record, and why.
type Correction struct {
	RecordID string
	Version  int // of the record as it was seen; ErrChanged when it is another by now
	Reason   string
	To       Content
	Now      time.Time
	Actor    string // as in audit
	Role     string

	decided decided // by two people, about the same dose of a namesake
}

// Correct changes what a record says, in one transaction: the former content stays
// with it, sealed; the dose moves in the stock ledger when lot or place were wrong; the
// audit names what was changed; [Corrected] is enqueued. When the person or the number
// of the dose changes, the rule that one dose number is given once to one person is
// asked again (*AlreadyGivenError). Of two corrections of the same version one wins,
// the other is ErrChanged. ErrLot, ErrLotEmpty (the right lot has no dose left where
// the dose was given), ErrDay, ErrSite, ErrReason, ErrUnchanged, ErrInvalid.
func (s *Service) Correct(ctx context.Context, in Correction) (Record, error) {
	var out Record
	err := pg.InTx(ctx, s.pool, func(tx pgx.Tx) (err error) {
		out, err = s.CorrectTx(ctx, tx, in)
		return err
	})
	return out, err
}

// CorrectTx is Correct in the caller's transaction, which must be rolled back on error.
func (s *Service) CorrectTx(ctx context.Context, tx pgx.Tx, in Correction) (Record, error) {
	was, to, err := s.check(ctx, tx, &in)
	if err != nil {
		return Record{}, err
	}
	changed := was.Content().Changed(in.To)
	if len(changed) == 0 {
		return Record{}, ErrUnchanged
	}
	index := s.index(to.Patient)
	if err := lockPerson(ctx, tx, index); err != nil {
		return Record{}, err
	}
	var (
		given    *AlreadyGivenError
		namesake bool
	)
	err = s.freeDose(ctx, tx, to, index)
	if namesake = errors.As(err, &given) && given.RecordID == in.decided.other; !namesake && err != nil {
		return to, err
	}
	if err := s.keepFormer(ctx, tx, was, to, in, changed); err != nil {
		return Record{}, err
	}
	after := inTheClear(in.To)
	after["changed"], after["version"] = changed, to.Version
	if namesake {
		after["namesake"], after["proposal"] = "record:"+in.decided.other, in.decided.proposalID
		if err := beNamesake(ctx, tx, was.ID, in.decided.proposalID); err != nil {
			return Record{}, err
		}
		to.namesake = true
	}
	if err := audit.Write(ctx, tx, in.Now, audit.Entry{
		Actor: in.Actor, Role: in.Role, Action: "vaccination.corrected", Subject: "record:" + was.ID, Before: inTheClear(was.Content()), After: after,
	}); err != nil {
		return Record{}, err
	}
	if err := s.rewrite(ctx, tx, to, index, in.Now); err != nil {
		return Record{}, err
	}
	// Last, as in recording a dose: every dose of a lot queues on its balance.
	if to.LotID != "" && (to.LotID != was.LotID || to.stockPlace != was.stockPlace) {
		if err := s.moveDose(ctx, tx, to, in); err != nil {
			return Record{}, err
		}
	}
	return to, nil
}

// check reads and locks the record and returns it as it is and as it shall be.
func (s *Service) check(ctx context.Context, tx pgx.Tx, in *Correction) (was, to Record, err error) {
	in.Reason = strings.TrimSpace(in.Reason)
	switch n := utf8.RuneCountInString(in.Reason); {
	case n == 0 || n > maxReason:
		return was, to, ErrReason
	case !id.Valid(in.RecordID), in.Now.IsZero(), in.Actor == "":
		return was, to, ErrInvalid
	}
	if was, err = s.lock(ctx, tx, in.RecordID); err != nil {
		return was, to, err
	}
	switch {
	case was.Removed():
		return was, to, ErrRemoved
	case was.Version != in.Version:
		return was, to, ErrChanged
	}
	to = was
	to.Version++
	c, today := &in.To, clock.Day(in.Now)
	c.Day = time.Date(c.Day.Year(), c.Day.Month(), c.Day.Day(), 0, 0, 0, 0, time.UTC)
	p := &to.Patient
	p.FamilyName, p.GivenName, p.PassportFamily, p.PassportGiven, p.Birth = c.FamilyName, c.GivenName, c.PassportFamily, c.PassportGiven, c.Birth
	switch {
	case len(p.Clean(today)) > 0,
		c.DoseNumber < 1, c.DoseNumber > maxDoses, c.DosesTotal < 1, c.DosesTotal > maxDoses:
		return was, to, ErrInvalid
	case c.Day.After(clock.Day(was.RecordedAt)), c.Day.Before(p.Birth.Earliest()):
		return was, to, ErrDay // nobody records a dose before it is given
	}
	c.FamilyName, c.GivenName, c.PassportFamily, c.PassportGiven = p.FamilyName, p.GivenName, p.PassportFamily, p.PassportGiven
	if to.DoseNumber, to.DosesTotal = c.DoseNumber, c.DosesTotal; !c.Day.Equal(was.Day) {
		h, m, _ := was.GivenAt.In(clock.Berlin).Clock()
		to.Day, to.GivenAt = c.Day, clock.At(c.Day, h, m)
	}
	if err := s.otherPlace(ctx, tx, &to, c.Place); err != nil {
		return was, to, err
	}
	return was, to, otherLot(ctx, tx, &to, c)
}

// otherPlace moves a record of a centre to another one.
func (s *Service) otherPlace(ctx context.Context, tx pgx.Tx, to *Record, place string) error {
	if place == to.Place {
		return nil
	}
	if to.Channel != ByAppointment && to.Channel != WalkIn {
		return ErrSite
	}
	ce, err := centre.Get(ctx, tx, place)
	if errors.Is(err, centre.ErrNotFound) {
		return ErrSite
	}
	if err != nil {
		return fmt.Errorf("centre of correction: %w", err)
	}
	to.Place, to.IssuerRef, to.Region = ce.ID, "centre:"+ce.ID, Region(ce.Postcode)
	to.stockPlace = inventory.CentrePlace(ce.ID)
	return nil
}

// otherLot finds the lot of the content: at a site one that is known, elsewhere what
// the issuer says.
func otherLot(ctx context.Context, q pg.Querier, to *Record, c *Content) error {
	c.LotNumber = strings.ToUpper(strings.TrimSpace(c.LotNumber))
	if c.LotNumber == to.LotNumber && c.ProductID == to.ProductID {
		return nil
	}
	p, err := programme.ProductByID(ctx, q, c.ProductID)
	if err != nil || p.ProgrammeID != to.ProgrammeID {
		return ErrWrongProduct
	}
	to.ProductID, to.LotNumber = p.ID, c.LotNumber
	if to.LotID == "" {
		if c.LotNumber == "" && to.Basis == Given || c.LotNumber != "" && !lotForm.MatchString(c.LotNumber) {
			return ErrLot
		}
		return nil
	}
	l, err := inventory.LotByNumber(ctx, q, p.ID, c.LotNumber)
	if errors.Is(err, inventory.ErrNotFound) {
		return ErrLot
	}
	if err != nil {
		return fmt.Errorf("lot of correction: %w", err)
	}
	if to.Day.After(l.Expiry) {
		return ErrLotExpired
	}
	to.LotID = l.ID
	return nil
}

// freeDose refuses what would give one dose number twice to one person.
func (s *Service) freeDose(ctx context.Context, tx pgx.Tx, to Record, index []byte) error {
	if to.Basis != Given || to.namesake {
		return nil
	}
	var other string
	err := tx.QueryRow(ctx, `
		SELECT id::text FROM vaccination.record
		 WHERE person_index = $1 AND programme_id = $2 AND dose_number = $3 AND id <> $4
		   AND basis = 'given' AND voided_at IS NULL AND NOT 'namesake' = ANY (overrides)`, index, to.ProgrammeID, to.DoseNumber, to.ID).Scan(&other)
	if pg.NoRows(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("other doses: %w", err)
	}
	return &AlreadyGivenError{RecordID: other}
}

// former is the sealed part of a revision.
type former struct {
	Content Content `json:"content"`
	Reason  string  `json:"reason"` // of the correction that ended it
}

const sealFormer = "vaccination.revision"

// inTheClear is what the audit may know of a content.
func inTheClear(c Content) map[string]any {
	return map[string]any{
		"product": c.ProductID, "lot": c.LotNumber, "dose": c.DoseNumber, "of": c.DosesTotal, "day": c.Day.Format(time.DateOnly), "place": c.Place,
	}
}

// keepFormer keeps what a record says, and tells of the change: also for the later doses
// of who it was and who it is.
func (s *Service) keepFormer(ctx context.Context, tx pgx.Tx, was, to Record, in Correction, changed []string) error {
	key, err := s.vault.Open(ctx, tx, was.KeyID)
	if err != nil {
		return err
	}
	box, err := key.SealJSON(sealFormer, former{was.Content(), in.Reason})
	if err != nil {
		return fmt.Errorf("seal former content: %w", err)
	}
	if _, err := tx.Exec(ctx, `
		INSERT INTO vaccination.revision (record_id, version, sealed, changed, by, role, at) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
		was.ID, was.Version, box, changed, in.Actor, in.Role, in.Now); err != nil {
		return fmt.Errorf("keep former content: %w", err)
	}
	if err := Corrected.Enqueue(ctx, tx, RecordedPayload{RecordID: was.ID}); err != nil {
		return err
	}
	// What came before tells how later doses of the person are numbered.
	rows, err := tx.Query(ctx, `
		SELECT o.id::text FROM vaccination.record r JOIN vaccination.record o ON o.programme_id = r.programme_id AND o.id <> r.id
		   AND (o.login_person_id = r.login_person_id OR o.person_index IN (r.person_index, $2))
		 WHERE r.id = $1 AND o.voided_at IS NULL AND o.dose_number >= least(r.dose_number, $3) ORDER BY o.id`,
		was.ID, s.index(to.Patient), to.DoseNumber)
	if err != nil {
		return fmt.Errorf("later doses: %w", err)
	}
	later, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("later doses: %w", err)
	}
	for _, recordID := range later {
		if err := Corrected.Enqueue(ctx, tx, RecordedPayload{RecordID: recordID}); err != nil {
			return err
		}
	}
	return nil
}

// rewrite writes the record as it shall be.
func (s *Service) rewrite(ctx context.Context, tx pgx.Tx, to Record, index []byte, now time.Time) error {
	key, err := s.vault.Open(ctx, tx, to.KeyID)
	if err != nil {
		return err
	}
	to.sealed.Patient = to.Patient
	box, err := key.SealJSON(sealContext, to.sealed)
	if err != nil {
		return fmt.Errorf("seal record: %w", err)
	}
	_, err = tx.Exec(ctx, `
		UPDATE vaccination.record SET version = $2, corrected_at = $3, sealed = $4, person_index = $5, product_id = $6, lot_id = $7, lot_number = $8,
		       dose_number = $9, doses_total = $10, day = $11, given_at = $12, place = $13, stock_place = $14, issuer_ref = $15, region = $16
		 WHERE id = $1`,
		to.ID, to.Version, now, box, index, to.ProductID, null(to.LotID), to.LotNumber,
		to.DoseNumber, to.DosesTotal, to.Day, to.GivenAt, to.Place, null(string(to.stockPlace)), to.IssuerRef, to.Region)
	if pg.Violates(err, "record_person_dose") {
		return ErrAlreadyGiven // the lock on the person makes this a mere last line
	}
	if err != nil {
		return fmt.Errorf("correct record: %w", err)
	}
	return nil
}

// moveDose takes the dose back where it stood in the ledger and out of the right lot.
func (s *Service) moveDose(ctx context.Context, tx pgx.Tx, to Record, in Correction) error {
	err := s.stock.Regive(ctx, tx, inventory.Give{
		Place: to.stockPlace, LotID: to.LotID, Ref: to.ID, Actor: in.Actor, At: to.GivenAt,
	}, "treatment record corrected", inventory.By{Actor: in.Actor, Role: in.Role})
	switch {
	case err == nil, errors.Is(err, inventory.ErrAlreadyGiven):
		return nil
	case errors.Is(err, inventory.ErrLotExpired):
		return ErrLotExpired
	case errors.Is(err, inventory.ErrLotEmpty), errors.Is(err, inventory.ErrNotEnough):
		return errRightLotEmpty
	case errors.Is(err, inventory.ErrLotBlocked):
		return ErrLotBlocked
	case errors.Is(err, inventory.ErrAlreadyCorrected): // somebody takes the dose back in the stock at this moment
		return ErrChanged
	}
	return fmt.Errorf("move the dose: %w", err)
}

// lock reads a record and keeps others from changing it. Errors as in Get.
func (s *Service) lock(ctx context.Context, tx pgx.Tx, recordID string) (Record, error) {
	if _, err := tx.Exec(ctx, `SELECT FROM vaccination.record WHERE id = $1 FOR UPDATE`, recordID); err != nil {
		return Record{}, fmt.Errorf("lock record: %w", err)
	}
	return s.Get(ctx, tx, recordID)
}

// Revision is what a record said before it was corrected.
type Revision struct {
	Version int
	Content Content
	Changed []string  // what the correction changed
	Reason  string    // of the correction
	By      string    // as in audit
	Role    string    // of who corrected it
	At      time.Time // of the correction
}

// Revisions returns the former contents of a record, oldest first. Errors as in Get.
func (s *Service) Revisions(ctx context.Context, q pg.Querier, r Record) ([]Revision, error) {
	if r.Version == 1 {
		return nil, nil
	}
	key, err := s.vault.Open(ctx, q, r.KeyID)
	if err != nil {
		return nil, err
	}
	rows, err := q.Query(ctx, `
		SELECT version, sealed, changed, by, role, at FROM vaccination.revision WHERE record_id = $1 ORDER BY version`, r.ID)
	if err != nil {
		return nil, fmt.Errorf("former contents: %w", err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (Revision, error) {
		var (
			v   Revision
			box []byte
			f   former
		)
		if err := row.Scan(&v.Version, &box, &v.Changed, &v.By, &v.Role, &v.At); err != nil {
			return v, err
		}
		if err := key.UnsealJSON(sealFormer, box, &f); err != nil {
			return v, fmt.Errorf("former content %d of record %s: %w", v.Version, r.ID, err)
		}
		v.Content, v.Reason = f.Content, f.Reason
		return v, nil
	})
}
