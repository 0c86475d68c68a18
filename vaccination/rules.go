package vaccination

import (
	"net/mail"
	"slices"
	"strings"
	"time"

	"github.com/nyaruka/phonenumbers"

	"impfportal/citizen"
	"impfportal/internal/web"
)

// Codes of warnings. Each can be overridden by name, with a reason.
const (
	IntervalShort = "interval.short" // fewer days since the dose before than the rule says
	IntervalLong  = "interval.long"  // more days
	NoPrior       = "prior.unknown"  // a second dose, but nothing is known of the first
	Age           = "age"            // outside the age limits of the vaccine
	Namesake      = "namesake"       // this dose stands in the record for the same name and birth date
)

// Warning is a rule that the dose would break.
type Warning struct {
	Code string `json:"code"`
	Days int    `json:"days,omitempty"` // since the dose before
	Min  int    `json:"min,omitempty"`  // days
	Max  int    `json:"max,omitempty"`  // days, 0 = no end
}

// WarningsError refuses a dose until every one of its warnings is overridden.
type WarningsError struct{ Warnings []Warning }

// Error lists the codes.
func (e *WarningsError) Error() string {
	codes := make([]string, len(e.Warnings))
	for i, w := range e.Warnings {
		codes[i] = w.Code
	}
	return "vaccination: not without override: " + strings.Join(codes, ", ")
}

// AlreadyGivenError says which record holds the dose already. It is ErrAlreadyGiven.
type AlreadyGivenError struct {
	RecordID string
	// Own says that the issuer who is refused made that record itself.
	Own bool
}

// Error is the text of ErrAlreadyGiven.
func (e *AlreadyGivenError) Error() string { return ErrAlreadyGiven.Error() }

// Is makes errors.Is(err, ErrAlreadyGiven) true.
func (e *AlreadyGivenError) Is(target error) bool { return target == ErrAlreadyGiven }

// checkInterval compares the days between two doses with the rule (max 0: no
// end) and returns nil when they agree.
func checkInterval(prior, day time.Time, minDays, maxDays int) *Warning {
	days := int(day.Sub(prior).Hours() / 24) // both are UTC midnights
	w := Warning{Days: days, Min: minDays, Max: maxDays}
	switch {
	case days < minDays:
		w.Code = IntervalShort
	case maxDays > 0 && days > maxDays:
		w.Code = IntervalLong
	default:
		return nil
	}
	return &w
}

// unaccepted returns the warnings for which nobody takes responsibility.
func unaccepted(ws []Warning, o *Override) []Warning {
	return slices.DeleteFunc(slices.Clone(ws), func(w Warning) bool { return o.accepts(w.Code) })
}

// Clean brings the details of a person without a registration into their
// stored form and tells what is missing or impossible. day is today in Berlin.
func (p *Patient) Clean(day time.Time) (out []web.FieldError) {
	fail := func(field, key string, args ...any) {
		out = append(out, web.FieldError{Field: field, Key: key, Args: args})
	}
	for _, n := range []struct {
		field string
		value *string
	}{
		{"family_name", &p.FamilyName},
		{"given_name", &p.GivenName},
		{"passport_family", &p.PassportFamily},
		{"passport_given", &p.PassportGiven},
	} {
		name, key, args := citizen.CleanName(*n.value)
		if *n.value = name; key != "" {
			fail(n.field, key, args...)
		}
	}
	if p.FamilyName == "" {
		fail("family_name", "vaccination.error.family_name")
	}
	if !plausible(p.Birth, day) {
		fail("birth", "vaccination.error.birth")
	}
	if !slices.Contains([]string{citizen.SexFemale, citizen.SexMale, citizen.SexDiverse, citizen.SexUnknown}, p.Sex) {
		fail("sex", "vaccination.error.sex")
	}
	if p.Postcode != "" && !isPostcode(p.Postcode) {
		fail("postcode", "vaccination.error.postcode")
	}
	if e := p.Contact.Email; e != "" && !isEmail(e) {
		fail("email", "vaccination.error.email")
	}
	if t := p.Contact.Phone; t != "" {
		n, err := phonenumbers.Parse(t, "DE")
		if err != nil || !phonenumbers.IsValidNumber(n) {
			fail("phone", "vaccination.error.phone")
		} else {
			p.Contact.Phone = phonenumbers.Format(n, phonenumbers.E164)
		}
	}
	if p.Contact.Lang != "en" {
		p.Contact.Lang = "de"
	}
	return out
}

const (
	maxReason = 300 // characters
	maxKey    = 100 // bytes of a request's key
	maxDoses  = 9   // of a series
	maxAge    = 125 // years
)

func isEmail(s string) bool {
	a, err := mail.ParseAddress(s)
	return err == nil && a.Address == s && a.Name == "" && len(s) <= 254
}

// plausible wants a day, month or year that exists, is not to come, and is not
// longer ago than anybody has lived.
func plausible(d PartialDate, day time.Time) bool {
	parsed, err := citizen.ParsePartialDate(d.String())
	return err == nil && parsed == d && d.Year >= day.Year()-maxAge && !d.Earliest().After(day)
}

func isPostcode(s string) bool {
	if len(s) < 4 || len(s) > 10 {
		return false
	}
	for _, r := range s {
		if (r < '0' || r > '9') && (r < 'A' || r > 'Z') && r != ' ' && r != '-' {
			return false
		}
	}
	return true
}

// personTerm is what the blind index of a person is made of.
func personTerm(p Patient) string {
	return citizen.MatchName(p.FamilyName) + "|" + citizen.MatchName(p.GivenName) + "|" + p.Birth.String()
}
