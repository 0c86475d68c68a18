package dcc

import (
	"errors"
	"fmt"
	"regexp"
	"time"
	"unicode/utf8"
)

// ErrLint means claims that no reader would accept.
var ErrLint = errors.New("dcc: claims break a rule of the certificate")

// standardName is the schema's pattern of a transliterated name.
var standardName = regexp.MustCompile(`^[A-Z<]{0,80}$`)

// Lint holds claims against the schema (EU DCC 1.3), the value sets of the day
// of issue in their combination, and the rules for names, once more and on its
// own: it reads the finished claims and not what they were built from.
func (b *Built) Lint() error {
	c := b.claims
	bad := func(what string) error { return fmt.Errorf("%w: %s", ErrLint, what) }
	p := c.HCert.DCC
	switch {
	case c.Issuer != Country:
		return bad("issuing country")
	case c.IssuedAt <= 0 || c.ExpiresAt <= c.IssuedAt:
		return bad("times")
	case p.Version != SchemaVersion:
		return bad("schema version")
	case !birthForm.MatchString(p.Birth):
		return bad("birth date")
	case len(p.V) != 1:
		return bad("one vaccination, no more and no less")
	}
	if err := p.Name.lint(); err != nil {
		return err
	}
	e := p.V[0]
	issued := time.Unix(c.IssuedAt, 0)
	switch day, err := time.Parse(time.DateOnly, e.Date); {
	case err != nil || day.After(issued.AddDate(0, 0, 1)) || day.Before(firstVaccination):
		return bad("day of vaccination")
	case e.Dose < 1 || e.Dose > maxDose || e.Doses < 1 || e.Doses > maxDose:
		return bad("dose numbers")
	case e.Country != Country || e.Issuer == "" || utf8.RuneCountInString(e.Issuer) > maxName:
		return bad("issuer")
	case CheckUVCI(e.ID) != nil:
		return bad("certificate id")
	}
	for product := range codesByProduct {
		known, ok := CodesFor(product, issued)
		if ok && known.Product == e.Product && known.Disease == e.Disease && known.Prophylaxis == e.Prophylaxis && known.Holder == e.Holder && mayBeStated(known, e.Dose, e.Doses) {
			return nil
		}
	}
	return bad("combination of disease, vaccine, product, holder and dose numbers")
}

func (n Name) lint() error {
	switch {
	case n.FamilyStd == "" && n.GivenStd == "":
		return fmt.Errorf("%w: no transliterated name", ErrLint)
	case !standardName.MatchString(n.FamilyStd) || !standardName.MatchString(n.GivenStd):
		return fmt.Errorf("%w: transliterated name", ErrLint)
	case utf8.RuneCountInString(n.Family) > maxName || utf8.RuneCountInString(n.Given) > maxName:
		return fmt.Errorf("%w: length of a name", ErrLint)
	case (n.Family == "") != (n.FamilyStd == "") || (n.Given == "") != (n.GivenStd == ""):
		return fmt.Errorf("%w: a name without its transliteration", ErrLint)
	}
	return nil
}

// IssuerOf reads the issuer's name ("is") of encoded claims.
func IssuerOf(claims []byte) (string, error) {
	var c Claims
	if err := decMode.Unmarshal(claims, &c); err != nil {
		return "", fmt.Errorf("%w: %w", ErrCWT, err)
	}
	if len(c.HCert.DCC.V) != 1 {
		return "", fmt.Errorf("%w: no vaccination", ErrCWT)
	}
	return c.HCert.DCC.V[0].Issuer, nil
}
