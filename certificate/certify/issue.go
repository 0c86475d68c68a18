package certify

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"impfportal/certificate"
	"impfportal/certificate/dcc"
	"impfportal/certificate/issuer"
	"impfportal/citizen"
	"impfportal/internal/clock"
	"impfportal/internal/pg"
	"impfportal/internal/web"
	"impfportal/vaccination"
)

// Headers beside those of the public description; docs/issuer-api.md is their
// reference.
const (
	headerID            = "X-DGC-Id"
	headerBasis         = "X-Impfportal-Basis"
	headerLot           = "X-Impfportal-Lot"
	headerDocument      = "X-Impfportal-Document"
	headerDocumentPlace = "X-Impfportal-Document-Place"
	headerDocumentDate  = "X-Impfportal-Document-Date"
	headerDocumentLot   = "X-Impfportal-Document-Lot"
)

// repeatHeaders name a request, so that sending it again is no second one.
var repeatHeaders = []string{"Idempotency-Key", "X-Transaction-Id"}

const (
	maxRepeat = 200 // bytes of such a name
	pollEvery = 100 * time.Millisecond
	askAgain  = 30 * time.Second // of a certificate that waits, when nobody knows for how long
)

// issue answers POST /api/certify/v2/issue for somebody who is known: it makes the
// record, waits for the certificate that follows from it, and hands that out.
func (s *Service) issue(c *call, p principal) (*answer, error) {
	if err := checkContent(c.Header); err != nil {
		return nil, err
	}
	media, err := chooseMedia(c.Header)
	if err != nil {
		return nil, err
	}
	if len(c.body) > maxBody {
		return nil, refuse(http.StatusRequestEntityTooLarge, "certify.error.large")
	}
	if p.State != issuer.Active {
		return nil, refuse(http.StatusForbidden, "certify.error.paused")
	}
	dose, err := s.dose(c, p)
	if err != nil {
		return nil, err
	}
	recordID, err := s.record(c.Context(), p, dose)
	if err != nil {
		return nil, err
	}
	cert, err := s.wait(c.Context(), p, recordID, c.lang())
	if err != nil {
		return nil, err
	}
	return s.handOut(cert, media, c.lang())
}

// hash answers POST /api/certify/v2/issue/hash: for nobody.
func hash(*call) (*answer, error) {
	return nil, refuse(http.StatusForbidden, "certify.error.hash")
}

// dose reads what is to be recorded, and refuses what no certificate could be made of.
func (s *Service) dose(c *call, p principal) (in vaccination.IssuedDose, err error) {
	now := s.Now()
	w, err := parse(c.body)
	if err != nil {
		return in, err
	}
	if w.Location != p.Site() {
		return in, refuse(http.StatusForbidden, "certify.error.location", "ID", p.Site()).at("v[0].id")
	}
	productID, ok := dcc.ProductOf(w.Disease, w.Prophylaxis, w.Product, w.Holder)
	if !ok {
		return in, refuse(http.StatusNotAcceptable, "certify.error.codes").at("v[0]")
	}
	birth, err := citizen.ParsePartialDate(w.Birth)
	if err != nil {
		return in, refuse(http.StatusBadRequest, "certify.error.birth").at("dob")
	}
	in = vaccination.IssuedDose{
		Now: now, IssuerRef: p.Ref(), IssuerKind: p.Kind, Operator: p.operator, Path: p.path, Region: vaccination.Region(p.Postcode), Location: w.Location,
		Patient:   vaccination.Patient{FamilyName: w.Family, GivenName: w.Given, Birth: birth, Sex: citizen.SexUnknown},
		ProductID: productID, DoseNumber: w.Dose, DosesTotal: w.Doses, Day: w.Day, Actor: p.Ref(), Role: "issuer",
	}
	if err := s.makeable(&in, now); err != nil {
		return in, err
	}
	if err := basis(c.Header, &in, w); err != nil {
		return in, err
	}
	in.Key, err = requestKey(c.Header, p, in)
	return in, err
}

// makeable tries whether a certificate could be made: names, dates, dose numbers.
// What is refused here leaves no record.
func (s *Service) makeable(in *vaccination.IssuedDose, now time.Time) error {
	no := func(key, field string) error { return refuse(http.StatusNotAcceptable, key).at(field) }
	if bad := in.Patient.Clean(clock.Day(now)); len(bad) > 0 && bad[0].Field == "birth" {
		return no("certify.error.birth", "dob")
	} else if len(bad) > 0 {
		return no("certify.error.name", "nam")
	}
	_, err := dcc.Build(dcc.Vaccination{
		ProductID: in.ProductID, Place: in.Location, Day: in.Day, DoseNumber: in.DoseNumber, DosesTotal: in.DosesTotal, Stated: true,
		FamilyName: in.Patient.FamilyName, GivenName: in.Patient.GivenName, Birth: in.Patient.Birth.String(),
	}, dcc.Muster, dcc.NewUVCI(in.Location), now, now.Add(time.Hour))
	switch {
	case errors.Is(err, dcc.ErrName):
		return no("certify.error.name", "nam")
	case errors.Is(err, dcc.ErrDoseRule):
		return no("certify.error.dose", "v[0].dn")
	case errors.Is(err, dcc.ErrDates), err == nil && in.Day.Before(in.Patient.Birth.Earliest()):
		return no("certify.error.dates", "v[0].dt")
	case errors.Is(err, dcc.ErrNoCodes):
		return no("certify.error.codes", "v[0]")
	}
	return err
}

// basis reads the vendor headers: on what the record rests, and the lot.
func basis(h http.Header, in *vaccination.IssuedDose, w wanted) (err error) {
	bad := func(name string) error {
		return refuse(http.StatusBadRequest, "certify.error.header", "Field", name).at(name)
	}
	lot, err := written(h, headerLot)
	if err != nil {
		return bad(headerLot)
	}
	in.LotNumber = issuer.CleanLot(lot)
	switch h.Get(headerBasis) {
	case "", string(vaccination.Given):
		in.Basis = vaccination.Given
		return nil
	case string(vaccination.Seen):
		in.Basis = vaccination.Seen
	default:
		return bad(headerBasis)
	}
	d := vaccination.Document{Kind: vaccination.DocumentKind(h.Get(headerDocument)), Date: w.Day.Format(time.DateOnly)}
	if d.Kind != vaccination.Booklet && d.Kind != vaccination.Replacement {
		return bad(headerDocument)
	}
	for _, f := range []struct {
		name string
		into *string
	}{{headerDocumentPlace, &d.Place}, {headerDocumentDate, &d.Date}, {headerDocumentLot, &d.Lot}} {
		text, err := written(h, f.name)
		if err != nil || text == "" && f.into == &d.Place {
			return bad(f.name)
		}
		if text != "" {
			*f.into = text
		}
	}
	in.Document = &d
	return nil
}

// written reads a header that may hold any letters: percent-encoded UTF-8.
func written(h http.Header, name string) (string, error) {
	text, err := url.PathUnescape(h.Get(name))
	if err != nil || !utf8.ValidString(text) || utf8.RuneCountInString(text) > 200 {
		return "", errors.New("not percent-encoded UTF-8 of at most 200 characters")
	}
	return web.CleanText(text), nil
}

// requestKey names the request: as the software does in a header, else by what it
// says. Names of different issuers never meet.
func requestKey(h http.Header, p principal, in vaccination.IssuedDose) (string, error) {
	for _, name := range repeatHeaders {
		v := h.Get(name)
		if len(v) > maxRepeat {
			return "", refuse(http.StatusBadRequest, "certify.error.header", "Field", name).at(name)
		}
		if v != "" {
			return keyOf(p, "named", []byte(v)), nil
		}
	}
	in.Now, in.Key = time.Time{}, ""
	in.Operator, in.Path = "", "" // another card of the same place says the same
	all, err := json.Marshal(in)
	if err != nil {
		return "", fmt.Errorf("request key: %w", err)
	}
	return keyOf(p, "said", all), nil
}

func keyOf(p principal, how string, what []byte) string {
	sum := sha256.Sum256(append([]byte(how+"\x00"+p.ID+"\x00"), what...))
	return p.ID + ":" + base64.RawURLEncoding.EncodeToString(sum[:])
}

// record makes the record, or finds the one that the same request has made. What the
// brakes take and what is written stand or fall together.
func (s *Service) record(ctx context.Context, p principal, in vaccination.IssuedDose) (recordID string, err error) {
	person := s.Records.PersonIndex(in.Patient)
	a := issuer.Attempt{
		IssuerID: p.ID, Operator: p.operator, Path: p.path, Basis: string(in.Basis), ProductID: in.ProductID, LotNumber: in.LotNumber, Day: in.Day, Person: person, At: in.Now,
	}
	err = pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		// The same request many times at once: the first makes the record, the others find it.
		lock := sha256.Sum256(append([]byte("certify\x00"+p.ID), person...))
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, int64(binary.BigEndian.Uint64(lock[:]))); err != nil { //nolint:gosec // any 64 bits will do
			return err
		}
		if recordID, err = s.Records.Told(ctx, tx, in); err != nil || recordID != "" {
			return err
		}
		if err := s.Issuers.Authorize(ctx, tx, a); err != nil {
			return err
		}
		recordID, err = s.Records.RecordIssued(ctx, tx, in)
		return err
	})
	var given *vaccination.AlreadyGivenError
	if errors.As(err, &given) && !given.Own {
		err = errors.Join(err, s.Issuers.Charge(ctx, a))
	}
	return recordID, inWords(err)
}

// inWords says why there is no record.
func inWords(err error) error {
	var limit *issuer.LimitError
	var given *vaccination.AlreadyGivenError
	switch {
	case errors.As(err, &limit):
		return refuse(http.StatusTooManyRequests, "certify.error.limit").later(limit.After)
	case errors.Is(err, issuer.ErrPaused):
		return refuse(http.StatusForbidden, "certify.error.paused")
	case errors.Is(err, issuer.ErrSuspended), errors.Is(err, issuer.ErrInactive):
		return refuse(http.StatusForbidden, "certify.error.suspended")
	case errors.Is(err, issuer.ErrLot):
		return refuse(http.StatusForbidden, "certify.error.lot").at(headerLot)
	case errors.Is(err, vaccination.ErrWrongLot):
		return refuse(http.StatusBadRequest, "certify.error.header", "Field", headerLot).at(headerLot)
	case errors.As(err, &given), errors.Is(err, vaccination.ErrAlreadyGiven):
		return refuse(http.StatusConflict, "certify.error.given")
	case errors.Is(err, vaccination.ErrKeyReused):
		return refuse(http.StatusConflict, "certify.error.reused")
	case errors.Is(err, vaccination.ErrInvalid), errors.Is(err, vaccination.ErrWrongProduct):
		return refuse(http.StatusNotAcceptable, "certify.error.data")
	}
	return err
}

// wait looks for the certificate of a record until it is released. Who waited in
// vain is told to ask again: the record stands, and the same request finds it.
func (s *Service) wait(ctx context.Context, p principal, recordID, lang string) (certificate.Certificate, error) {
	end := time.NewTimer(s.Wait)
	defer end.Stop()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for first := true; ; first = false {
		c, err := s.standing(ctx, recordID)
		if err != nil || c.Ready() {
			return c, err
		}
		if first {
			if err := s.stopped(ctx, p, lang); err != nil {
				return c, err
			}
		}
		select {
		case <-ctx.Done():
			return c, ctx.Err()
		case <-end.C:
			return c, stored(refuse(http.StatusServiceUnavailable, "certify.error.waits").later(askAgain), nil)
		case <-tick.C:
		}
	}
}

// standing returns the certificate of a record that counts.
func (s *Service) standing(ctx context.Context, recordID string) (c certificate.Certificate, err error) {
	list, err := s.Certificates.OfRecord(ctx, s.Pool, recordID)
	if err != nil {
		return c, err
	}
	gone := false
	for _, c := range list {
		switch c.State {
		case certificate.StateRevoked:
			gone = gone || !c.Replaced
		case certificate.StateRefused:
			return c, refuse(http.StatusNotAcceptable, "certify.error.data")
		default:
			return c, nil
		}
	}
	if gone {
		return c, refuse(http.StatusGone, "certify.error.revoked")
	}
	return c, nil
}

// stopped tells of a stop that holds the certificate back.
func (s *Service) stopped(ctx context.Context, p principal, lang string) error {
	st, ok, err := s.Stopped(ctx, s.Pool, p.subject())
	if err != nil || !ok {
		return err
	}
	data := map[string]any{"notice": st.Reason(lang), "since": st.Since.UTC().Format(time.RFC3339), "notice_url": s.BaseURL + "/certificates/notice"}
	if st.Expected != nil {
		data["expected"] = st.Expected.Format(time.DateOnly)
	}
	return stored(refuse(http.StatusServiceUnavailable, "certify.error.stopped", "Why", st.Reason(lang)).later(5*time.Minute), data)
}

// stored says that the request is kept.
func stored(r *refusal, data map[string]any) *refusal {
	if data == nil {
		data = map[string]any{}
	}
	data["stored"] = true
	r.data = data
	return r
}

// handOut gives the certificate in the form that was asked for.
func (s *Service) handOut(c certificate.Certificate, media, lang string) (*answer, error) {
	var body []byte
	var err error
	switch media {
	case mediaBinary:
		body, err = dcc.Binary(c.HC1)
	case mediaPDF:
		body, err = s.Certificates.PDF(c, lang)
	default:
		body = []byte(c.HC1)
	}
	if err != nil {
		return nil, err
	}
	return reply(http.StatusOK, media, body).with(headerID, c.Entry().ID), nil
}
