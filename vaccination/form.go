package vaccination

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"impfportal/citizen"
	"impfportal/internal/clock"
	"impfportal/internal/web"
)

// PatientForm reads the details of a person without a registration and notes
// in f what is wrong with them. day is today in Berlin.
func PatientForm(f *web.Form, day time.Time, lang string) Patient {
	p := Patient{
		FamilyName: f.Get("family_name"), GivenName: f.Get("given_name"),
		PassportFamily: f.Get("passport_family"), PassportGiven: f.Get("passport_given"),
		Birth: BirthForm(f), Sex: f.Get("sex"), Postcode: f.Get("postcode"),
		Contact: Contact{Email: f.Get("email"), Phone: f.Get("phone"), Lang: lang},
	}
	f.Errors = append(f.Errors, p.Clean(day)...)
	return p
}

// passportForm reads the spelling of the passport from a card that shows it, and notes
// in f what is wrong with it; nil when the form has no such fields.
func passportForm(f *web.Form) *Passport {
	if !slices.Contains(f.Names(), "passport_family") || !slices.Contains(f.Names(), "passport_given") {
		return nil
	}
	p := &Passport{Family: f.Get("passport_family"), Given: f.Get("passport_given")}
	for field, name := range map[string]string{"passport_family": p.Family, "passport_given": p.Given} {
		if _, key, args := citizen.CleanName(name); key != "" {
			f.Fail(field, key, args...)
		}
	}
	return p
}

// BirthForm reads the three fields of a birth date; what is no number becomes
// -1, which no date has.
func BirthForm(f *web.Form) PartialDate {
	return PartialDate{Year: number(f.Get("birth_year")), Month: number(f.Get("birth_month")), Day: number(f.Get("birth_day"))}
}

func number(s string) int {
	if s == "" {
		return 0
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > 9999 {
		return -1
	}
	return n
}

// DoseForm is the part of a form that every dose has.
type DoseForm struct {
	Key      string
	LotID    string
	Consent  bool
	Forms    time.Time
	Override *Override
}

// ReadDoseForm reads lot, consent and override.
func ReadDoseForm(f *web.Form) DoseForm {
	d := DoseForm{Key: f.Get("key"), LotID: f.Get("lot"), Consent: f.Get("consent") != ""}
	d.Forms, _ = time.Parse(time.DateOnly, f.Get("forms")) // the zero day is no version and is refused as such
	if d.LotID == "" {
		f.Fail("lot", "vaccination.error.lot_missing")
	}
	if !d.Consent {
		f.Fail("consent", "vaccination.error.consent")
	}
	if f.Get("override") == "" {
		return d
	}
	d.Override = &Override{Rules: f.All("accept"), Reason: f.Get("reason")}
	switch n := utf8.RuneCountInString(d.Override.Reason); {
	case n == 0:
		f.Fail("reason", "vaccination.error.reason")
	case n > maxReason:
		f.Fail("reason", "web.error.too_long", "Max", maxReason)
	}
	return d
}

// PriorForm reads what is stated about the dose before this one; nil when
// nothing is.
func PriorForm(f *web.Form, now time.Time) *PriorDose {
	if f.Get("prior_day")+f.Get("prior_month")+f.Get("prior_year") == "" {
		return nil
	}
	d := PartialDate{Year: number(f.Get("prior_year")), Month: number(f.Get("prior_month")), Day: number(f.Get("prior_day"))}
	if d.Day == 0 || !plausible(d, clock.Day(now)) {
		f.Fail("prior", "vaccination.error.prior")
		return nil
	}
	return &PriorDose{ProductID: f.Get("prior_product"), Day: d.Earliest()}
}

// TakeError turns an error of Record into words at the right field of a form.
// What it does not know it returns.
func TakeError(f *web.Form, err error) error {
	var p *web.Problem
	if !errors.As(Problem(err), &p) || p.Status == http.StatusNotFound {
		return err
	}
	if len(p.Fields) > 0 {
		f.Take(p)
	} else {
		f.Fail("main", p.Key, p.Args...)
	}
	return nil
}

// Problem maps the errors of this package to status and words. Any other error
// stays as it is.
func Problem(err error) error {
	field := func(name, key string) error {
		return &web.Problem{Status: http.StatusUnprocessableEntity, Key: "web.error.invalid", Fields: []web.FieldError{{Field: name, Key: key}}}
	}
	var (
		warn  *WarningsError
		given *AlreadyGivenError
	)
	if p := correctionProblem(err); p != nil {
		return p
	}
	switch {
	case err == nil:
		return nil
	case errors.As(err, &warn):
		p := &web.Problem{Status: http.StatusConflict, Key: "vaccination.error.warnings", Extra: map[string]any{"warnings": warn.Warnings}}
		for _, w := range warn.Warnings {
			p.Fields = append(p.Fields, web.FieldError{Field: "accept", Key: w.TextKey(), Args: w.TextArgs()})
		}
		return p
	case errors.As(err, &given):
		return &web.Problem{Status: http.StatusConflict, Key: "vaccination.error.already", Extra: map[string]any{"record_id": given.RecordID}}
	case errors.Is(err, ErrAlreadyGiven):
		return web.Fail(http.StatusConflict, "vaccination.error.already")
	case errors.Is(err, ErrKeyReused):
		return web.Fail(http.StatusConflict, "vaccination.error.key")
	case errors.Is(err, ErrAppointment):
		return web.Fail(http.StatusConflict, "vaccination.error.appointment")
	case errors.Is(err, ErrCheckedIn):
		return web.Fail(http.StatusConflict, "vaccination.error.checked_in")
	case errors.Is(err, ErrWrongLot):
		return field("lot", "vaccination.error.lot_wrong")
	case errors.Is(err, ErrLotExpired):
		return field("lot", "vaccination.error.lot_expired")
	case errors.Is(err, ErrLotBlocked):
		return field("lot", "vaccination.error.lot_blocked")
	case errors.Is(err, ErrLotEmpty):
		return field("lot", "vaccination.error.lot_empty")
	case errors.Is(err, ErrNoConsent):
		return field("consent", "vaccination.error.consent")
	case errors.Is(err, ErrForms):
		return field("forms", "vaccination.error.forms")
	case errors.Is(err, ErrWrongProduct):
		return field("product", "vaccination.error.product")
	case errors.Is(err, ErrInvalid):
		return web.Fail(http.StatusUnprocessableEntity, "vaccination.error.incomplete")
	case errors.Is(err, ErrNotFound):
		return web.NotFound()
	}
	return err
}

// TextKey is the i18n key of the warning in words.
func (w Warning) TextKey() string { return "vaccination.warning." + w.Code }

// TextArgs are the arguments of TextKey.
func (w Warning) TextArgs() []any { return []any{"Days", w.Days, "Min", w.Min, "Max", w.Max} }
