package citizen

import (
	"strings"

	"impfportal/internal/web"
	"impfportal/notify"
)

// The steps of the form. The last one shows everything and asks for nothing.
const (
	stepGroup = 1 + iota
	stepPerson
	stepPrior
	stepContact
	stepCheck
	steps = stepCheck
)

// stepInputs are the names of the inputs of a step, stepFields those under
// which something wrong with it is reported.
var (
	stepInputs = map[int][]string{
		stepGroup: {"who", "group", "proof_ready"},
		stepPerson: {
			"family_name", "given_name", "passport_family", "passport_given", "birth_day", "birth_month", "birth_year",
			"sex",
		},
		stepPrior:   {"prior", "prior_product", "prior_date_day", "prior_date_month", "prior_date_year", "prior_proof"},
		stepContact: {"street", "address_extra", "postcode", "city", "country", "phone", "email", "lang"},
	}
	stepFields = map[int][]string{
		stepGroup:   {"who", "group", "proof_ready"},
		stepPerson:  {"family_name", "given_name", "passport_family", "passport_given", "birth", "sex"},
		stepPrior:   {"prior", "prior_product", "prior_date", "prior_proof"},
		stepContact: {"street", "address_extra", "postcode", "city", "country", "phone", "email"},
	}
)

// answers are typed values by input name, as a browser sent them.
type answers map[string]string

// take copies what a step's form sent. A value too long to be carried along is
// left out; it is on the page that is shown again.
func (a answers) take(step int, f *web.Form) {
	for _, name := range stepInputs[step] {
		if v := f.Get(name); len(v) <= maxAnswer {
			a[name] = v
		}
	}
}

// form fills a form with the answers.
func (a answers) form() *web.Form {
	f := &web.Form{}
	for name, v := range a {
		f.Set(name, v)
	}
	return f
}

// registration turns typed values into a Registration and lists the dates that
// cannot be read. What else is wrong, clean finds.
func (a answers) registration(lang string) (Registration, Invalid) {
	var e Invalid
	programmeID, group, _ := strings.Cut(a["group"], "/")
	in := Registration{
		ProgrammeID: programmeID, GroupCode: group, ProofReady: a["proof_ready"] != "", OnBehalf: a["who"] == "relative",
		FamilyName: a["family_name"], GivenName: a["given_name"], PassportFamily: a["passport_family"], PassportGiven: a["passport_given"],
		Sex: a["sex"],
		Address: notify.Address{
			Extra: a["address_extra"], Street: a["street"], Postcode: a["postcode"], City: a["city"], Country: a["country"],
		},
		Phone: a["phone"], Email: a["email"], Lang: a["lang"],
	}
	if in.Lang == "" {
		in.Lang = lang
	}
	if a["who"] != "self" && a["who"] != "relative" {
		e.add("who", "who_required")
	}
	birth, key := typedDate(a["birth_day"], a["birth_month"], a["birth_year"])
	if key != "" {
		e.add("birth", key)
	}
	in.Birth = birth
	switch kind := a["prior"]; kind {
	case "none":
	case PriorDose, PriorRecovery:
		date, key := typedDate(a["prior_date_day"], a["prior_date_month"], a["prior_date_year"])
		if key == "" && !date.IsZero() && !date.Full() {
			key = "prior_date_full"
		}
		if key != "" {
			e.add("prior_date", key)
		}
		in.Prior = &Prior{Kind: kind, ProductID: a["prior_product"], Date: dayOf(date), Proof: a["prior_proof"]}
	default:
		e.add("prior", "prior_required")
	}
	return in, e
}

// merge adds the errors of more whose fields have none yet: the first reason
// is the one that is shown.
func (e Invalid) merge(more Invalid) Invalid {
	for _, f := range more {
		if f.Field == "programme" {
			f.Field = "group"
		}
		if !e.has(f.Field) {
			e = append(e, f)
		}
	}
	return e
}

// sorted puts the errors into the order of the form.
func (e Invalid) sorted() (out Invalid) {
	for step := stepGroup; step < stepCheck; step++ {
		for _, name := range stepFields[step] {
			out = append(out, e.only(name)...)
		}
	}
	return out
}
