package citizen

import (
	"fmt"
	"net/mail"
	"strings"
	"time"
	"unicode"

	"github.com/nyaruka/phonenumbers"
	"golang.org/x/text/unicode/norm"

	"impfportal/internal/clock"
	"impfportal/internal/web"
	"impfportal/notify"
	"impfportal/programme"
)

// Registration is what is asked of somebody who registers. Register cleans it
// (Unicode NFC, spaces, phone as E.164) and refuses it with Invalid.
type Registration struct {
	ProgrammeID, GroupCode        string
	ProofReady                    bool // says that the proof of the group will be brought along
	OnBehalf                      bool // filled in for somebody else
	FamilyName, GivenName         string
	PassportFamily, PassportGiven string // only where it differs
	Birth                         PartialDate
	Sex                           string
	Address                       notify.Address // Name is not used; Country ISO 3166 alpha-2, "" = DE
	Phone, Email                  string         // Phone as people write it
	Lang                          string         // of letters and messages; "de" or "en"
	Prior                         *Prior

	// Set by the pages, so that pressing the button twice registers once and
	// answers twice the same.
	id, caseNumber, secret string
}

// Invalid lists what is wrong with typed data: the field, and an i18n key with
// its arguments. It is shown to the person who typed (Form.Errors of a page,
// Problem.Fields of the API); it contains nothing of what was typed but single
// characters.
type Invalid []web.FieldError

func (e Invalid) Error() string {
	fields := make([]string, len(e))
	for i, f := range e {
		fields[i] = f.Field + ": " + f.Key
	}
	return "citizen: invalid input: " + strings.Join(fields, ", ")
}

func (e *Invalid) add(field, key string, args ...any) {
	*e = append(*e, web.FieldError{Field: field, Key: "citizen.error." + key, Args: args})
}

// Limits of what is stored, in visible characters (grapheme clusters).
const (
	maxName    = 100
	maxAddress = 100
	maxEmail   = 254 // RFC 5321, 4.5.3.1.3, less the angle brackets
	maxAge     = 120
)

// singleName is typed as given name of somebody who has only one name.
const singleName = "-"

var priorProofs = map[string][]string{
	PriorDose:     {"pass", "certificate"},     // Impfausweis; Impfbescheinigung or certificate
	PriorRecovery: {"laboratory", "authority"}, // PCR report; notice of the health authority
}

// Countries that an address may name: Germany, its neighbours here, and the
// others from which people come to work.
var countries = []string{"DE", "CZ", "PL", "AT", "CH", "SK", "HU"}

// countryLines is the last line of a letter abroad (UPU: in the sender's
// language or in English; the post reads German).
var countryLines = map[string]string{
	"CZ": "TSCHECHISCHE REPUBLIK", "PL": "POLEN", "AT": "ÖSTERREICH", "CH": "SCHWEIZ", "SK": "SLOWAKEI", "HU": "UNGARN",
}

// clean brings in into its stored form and lists what is wrong with it without
// asking the database. today is a day as of clock.Day.
func (in *Registration) clean(today time.Time) Invalid {
	var e Invalid
	if in.ProgrammeID == "" {
		e.add("programme", "programme_required")
	}
	if in.GroupCode == "" {
		e.add("group", "group_required")
	}
	if !in.ProofReady {
		e.add("proof_ready", "proof_required")
	}
	cleanName(&e, "family_name", &in.FamilyName)
	single := tidy(in.GivenName) == singleName
	if single {
		in.GivenName = ""
	}
	cleanName(&e, "given_name", &in.GivenName)
	if in.FamilyName == "" && !e.has("family_name") {
		e.add("family_name", "family_name_required")
	}
	if in.GivenName == "" && !single && !e.has("given_name") {
		e.add("given_name", "given_name_required")
	}
	cleanName(&e, "passport_family", &in.PassportFamily)
	cleanName(&e, "passport_given", &in.PassportGiven)
	needLatin(&e, "passport_family", in.FamilyName, in.PassportFamily)
	needLatin(&e, "passport_given", in.GivenName, in.PassportGiven)
	if in.PassportFamily == in.FamilyName && in.PassportGiven == in.GivenName {
		in.PassportFamily, in.PassportGiven = "", ""
	}
	in.cleanBirth(&e, today)
	switch in.Sex {
	case SexFemale, SexMale, SexDiverse, SexUnknown:
	default:
		e.add("sex", "sex_required")
	}
	in.cleanPrior(&e, today)
	cleanContact(&e, &in.Address, &in.Phone, &in.Email)
	if in.Lang != "en" {
		in.Lang = "de"
	}
	return e
}

// needLatin asks for the passport's form of a name in another script: the
// machine readable zone (ICAO Doc 9303-3) and so the certificate know Latin
// letters only, and guessing a transliteration would make a paper that does
// not fit the passport.
func needLatin(e *Invalid, field, name, passport string) {
	if !e.has(field) && (!latin(passport) || passport == "" && !latin(name)) {
		e.add(field, "passport_latin")
	}
}

// latin reports whether all letters of s are Latin.
func latin(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return unicode.IsLetter(r) && !unicode.Is(unicode.Latin, r) })
}

func (e Invalid) has(field string) bool {
	for _, f := range e {
		if f.Field == field {
			return true
		}
	}
	return false
}

// only keeps the errors of the named fields.
func (e Invalid) only(fields ...string) (out Invalid) {
	for _, f := range e {
		for _, name := range fields {
			if f.Field == name {
				out = append(out, f)
			}
		}
	}
	return out
}

func cleanName(e *Invalid, field string, s *string) {
	*s = tidy(*s)
	if key, args := nameProblem(*s); key != "" {
		e.add(field, key, args...)
	}
}

func (in *Registration) cleanBirth(e *Invalid, today time.Time) {
	switch {
	case in.Birth.IsZero():
		e.add("birth", "birth_required")
	case !in.Birth.exists():
		e.add("birth", "date_impossible")
	case in.Birth.Earliest().After(today):
		e.add("birth", "date_future")
	case programme.Age(in.Birth.Latest(), today) > maxAge:
		e.add("birth", "birth_too_old", "Year", in.Birth.Year)
	}
}

func (in *Registration) cleanPrior(e *Invalid, today time.Time) {
	p := in.Prior
	if p == nil {
		return
	}
	proofs, known := priorProofs[p.Kind]
	if !known {
		e.add("prior", "prior_required")
		return
	}
	if p.Kind == PriorDose && p.ProductID == "" {
		e.add("prior_product", "prior_product_required")
	}
	if p.Kind == PriorRecovery {
		p.ProductID = ""
	}
	switch {
	case p.Date.IsZero():
		e.add("prior_date", "prior_date_required")
	case p.Date.After(today):
		e.add("prior_date", "date_future")
	case !in.Birth.IsZero() && p.Date.Before(in.Birth.Earliest()):
		e.add("prior_date", "prior_before_birth")
	}
	for _, proof := range proofs {
		if p.Proof == proof {
			return
		}
	}
	e.add("prior_proof", "prior_proof_required")
}

// cleanContact checks address, phone and e-mail, of which one has to be there:
// many people have neither e-mail nor mobile phone, some have no address.
func cleanContact(e *Invalid, a *notify.Address, phone, email *string) {
	*phone = tidy(*phone)
	if *phone != "" {
		if p, ok := parsePhone(*phone); ok {
			*phone = p
		} else {
			e.add("phone", "phone")
		}
	}
	*email = tidy(*email)
	if *email != "" {
		if m, ok := parseEmail(*email); ok {
			*email = m
		} else {
			e.add("email", "email")
		}
	}
	cleanAddress(e, a)
	if *phone == "" && *email == "" && !completeAddress(*a) && !e.has("street") && !e.has("postcode") && !e.has("city") {
		e.add("phone", "contact_required")
	}
}

func completeAddress(a notify.Address) bool {
	return a.Street != "" && a.Postcode != "" && a.City != ""
}

// cleanAddress accepts nothing, a postcode alone (where somebody stays), or a
// whole address; half an address reaches nobody.
func cleanAddress(e *Invalid, a *notify.Address) {
	a.Name = ""
	for _, f := range []struct {
		field string
		s     *string
	}{{"street", &a.Street}, {"address_extra", &a.Extra}, {"city", &a.City}, {"postcode", &a.Postcode}} {
		*f.s = tidy(*f.s)
		if key, args := addressProblem(*f.s); key != "" {
			e.add(f.field, key, args...)
		}
	}
	if a.Country = strings.ToUpper(tidy(a.Country)); a.Country == "" {
		a.Country = "DE"
	}
	if !contains(countries, a.Country) {
		e.add("country", "country")
	}
	if a.Postcode != "" && !e.has("postcode") {
		if pc, ok := parsePostcode(a.Postcode, a.Country); ok {
			a.Postcode = pc
		} else if a.Country == "DE" {
			e.add("postcode", "postcode")
		} else {
			e.add("postcode", "postcode_abroad")
		}
	}
	if a.Street == "" && a.City == "" && a.Extra == "" {
		return
	}
	for _, f := range [][2]string{{"street", a.Street}, {"postcode", a.Postcode}, {"city", a.City}} {
		if f[1] == "" {
			e.add(f[0], "address_incomplete_"+f[0])
		}
	}
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

// parsePostcode checks a postcode. German ones have five digits and lie
// between 01001 and 99998.
func parsePostcode(s, country string) (string, bool) {
	digits := strings.ReplaceAll(s, " ", "")
	if country == "DE" {
		digits = strings.TrimPrefix(digits, "D-")
		return digits, len(digits) == 5 && strings.Trim(digits, "0123456789") == "" && digits >= "01001" && digits <= "99998"
	}
	if len(digits) < 4 || len(digits) > 10 || strings.Trim(strings.ToUpper(digits), "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ-") != "" {
		return "", false
	}
	return strings.ToUpper(s), true
}

// parsePhone reads a number as people here write it and returns E.164.
func parsePhone(s string) (string, bool) {
	if len(s) > 40 {
		return "", false
	}
	n, err := phonenumbers.Parse(s, "DE")
	if err != nil || !phonenumbers.IsValidNumber(n) {
		return "", false
	}
	return phonenumbers.Format(n, phonenumbers.E164), true
}

// parseEmail accepts one bare address with a dot in its domain. The local part
// keeps its case; the domain does not matter.
func parseEmail(s string) (string, bool) {
	if len(s) > maxEmail || strings.ContainsAny(s, " <>\"\\(),;:") {
		return "", false
	}
	m, err := mail.ParseAddress(s)
	if err != nil || m.Address != s || m.Name != "" {
		return "", false
	}
	local, domain, _ := strings.Cut(s, "@")
	for _, r := range s {
		if r > 0x7e { // SMTPUTF8 is not spoken by every relay
			return "", false
		}
	}
	if len(local) > 64 || !strings.Contains(domain, ".") || strings.Contains(domain, "[") || strings.HasSuffix(domain, ".") {
		return "", false
	}
	for _, label := range strings.Split(domain, ".") {
		if label == "" || len(label) > 63 || strings.HasPrefix(label, "-") || strings.HasSuffix(label, "-") {
			return "", false
		}
	}
	return local + "@" + strings.ToLower(domain), true
}

// typedDate reads three typed fields. Empty (or zero) day and month mean
// unknown. It returns the key of what is wrong, or "".
func typedDate(day, month, year string) (PartialDate, string) {
	var n [3]int
	for i, s := range []string{norm.NFKC.String(year), norm.NFKC.String(month), norm.NFKC.String(day)} {
		s = strings.TrimSuffix(strings.TrimSpace(s), ".")
		if len(s) > 4 || strings.Trim(s, "0123456789") != "" {
			return PartialDate{}, "date_digits"
		}
		if i == 0 && s != "" && len(s) != 4 {
			return PartialDate{}, "date_year"
		}
		_, _ = fmt.Sscanf(s, "%d", &n[i])
	}
	d := PartialDate{n[0], n[1], n[2]}
	switch {
	case d.IsZero():
		return d, ""
	case d.Year == 0:
		return PartialDate{}, "date_year"
	case d.Month == 0 && d.Day != 0:
		return PartialDate{}, "date_month_missing"
	case !d.exists():
		return PartialDate{}, "date_impossible"
	}
	return d, ""
}

// dayOf is the day of a full date as the database has it, or the zero time.
func dayOf(d PartialDate) time.Time {
	if !d.Full() {
		return time.Time{}
	}
	return clock.Day(d.Earliest())
}
