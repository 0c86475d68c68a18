package vaccination

import (
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"impfportal/citizen"
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

// WarningsError refuses a dose until every warning is overridden.
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
type AlreadyGivenError struct{ RecordID string }

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

// FieldError names a field of the patient and what is wrong with it; Key is an
// i18n key.
type FieldError struct{ Field, Key string }

// Check tells what is missing or impossible in the details of a person without
// a registration. day is today in Berlin.
func (p Patient) Check(day time.Time) []FieldError {
	var out []FieldError
	fail := func(field, key string) { out = append(out, FieldError{field, key}) }
	for _, n := range []struct {
		field, value string
		required     bool
	}{
		{"family_name", p.FamilyName, true}, {"given_name", p.GivenName, false},
		{"passport_family", p.PassportFamily, false}, {"passport_given", p.PassportGiven, false},
	} {
		switch {
		case n.value == "" && n.required:
			fail(n.field, "vaccination.error.required")
		case utf8.RuneCountInString(n.value) > maxName:
			fail(n.field, "vaccination.error.long")
		case !nameLike(n.value):
			fail(n.field, "vaccination.error.name")
		}
	}
	if !plausible(p.Birth, day) {
		fail("birth", "vaccination.error.birth")
	}
	if !slices.Contains([]string{citizen.SexFemale, citizen.SexMale, citizen.SexDiverse, citizen.SexUnknown}, p.Sex) {
		fail("sex", "vaccination.error.choose")
	}
	if p.Postcode != "" && !isPostcode(p.Postcode) {
		fail("postcode", "vaccination.error.postcode")
	}
	if e := p.Contact.Email; e != "" && (!strings.Contains(e, "@") || strings.ContainsAny(e, " \r\n\t,;<>") || len(e) > 254) {
		fail("email", "vaccination.error.email")
	}
	if t := p.Contact.Phone; t != "" && !phoneLike(t) {
		fail("phone", "vaccination.error.phone")
	}
	return out
}

const (
	maxName   = 80 // characters; the EU certificate's schema also ends at 80
	maxReason = 300
	maxAge    = 125 // years
)

// plausible wants a day, month or year that exists, is not to come, and is not
// longer ago than anybody has lived.
func plausible(d PartialDate, day time.Time) bool {
	parsed, err := citizen.ParsePartialDate(d.String())
	return err == nil && parsed == d && d.Year >= day.Year()-maxAge && !d.Earliest().After(day)
}

// nameLike wants letters of any script with what stands between them in names;
// no digits, no emoji, no markup.
func nameLike(s string) bool {
	letters := s == ""
	for _, r := range s {
		switch {
		case unicode.IsLetter(r):
			letters = true
		case unicode.IsMark(r), strings.ContainsRune(" -'’.,ʻʼ`´", r):
		default:
			return false
		}
	}
	return letters
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

func phoneLike(s string) bool {
	digits := 0
	for _, r := range s {
		switch {
		case r >= '0' && r <= '9':
			digits++
		case !strings.ContainsRune("+ ()/-.", r):
			return false
		}
	}
	return digits >= 6 && digits <= 15
}

// fold brings the ways in which one name is written to one form: case, Unicode
// form, accents, umlauts (Müller = Mueller), hyphens and blanks do not count.
func fold(name string) string {
	var b strings.Builder
	for _, r := range norm.NFD.String(umlauts.Replace(strings.ToLower(norm.NFC.String(name)))) {
		if unicode.IsLetter(r) {
			b.WriteRune(r)
		}
	}
	return b.String()
}

var umlauts = strings.NewReplacer("ä", "ae", "ö", "oe", "ü", "ue", "ß", "ss", "ø", "oe", "æ", "ae", "œ", "oe", "ł", "l", "đ", "d", "ð", "d", "þ", "th")

// personTerm is what the blind index of a person is made of.
func personTerm(p Patient) string {
	return fold(p.FamilyName) + "|" + fold(p.GivenName) + "|" + p.Birth.String()
}
