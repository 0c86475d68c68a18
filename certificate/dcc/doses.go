package dcc

import "fmt"

// maxDose is the highest number that the schema allows (dose_posint).
const maxDose = 9

// Doses numbers a dose (dn, sd) by the German rules, as the guide to the
// issuing interface has them (certification-apis, Implementation.md):
//
//	same vaccine, or another one after the first     1/2, 2/2
//	one dose of Janssen                              1/1
//	after a first dose of Janssen                    2/1, then 3/1, 4/1 ...
//	after an infection that came first (Genesene)    1/1, then 2/1, 3/1 ...
//	boosters after 2/2                               3/3, 4/4 ...
//
// Janssen as the second dose of a series is in none of the rules, whatever
// came first: a person has to settle it (ErrDoseRule).
func Doses(c Codes, v Vaccination) (dn, sd int, err error) {
	n := v.DoseNumber
	none := fmt.Errorf("%w: dose %d of %d of %s", ErrDoseRule, n, v.DosesTotal, v.ProductID)
	single := c.Doses == 1
	switch {
	case n < 1 || n > maxDose || v.DosesTotal < 1 || v.DosesTotal > maxDose:
		return 0, 0, none
	case v.Stated:
		if !mayBeStated(c, n, v.DosesTotal) {
			return 0, 0, none
		}
		return n, v.DosesTotal, nil
	case v.Recovered, n == 1 && v.DosesTotal == 1:
		return n, 1, nil
	case n == 1 && single:
		return 0, 0, none // a series of several doses of Janssen is not known
	case n == 1:
		return 1, 2, nil
	case n == 2 && single:
		return 0, 0, none
	case singleProduct(v.FirstProduct):
		return n, 1, nil
	case n == 2:
		return 2, 2, nil
	}
	return n, n, nil
}

// mayBeStated reports whether an issuer may state these numbers for a vaccine:
// each combination that one of the rules above can lead to.
func mayBeStated(c Codes, dn, sd int) bool {
	switch {
	case sd == 1:
		return true // Janssen, after Janssen, after an infection
	case sd == 2:
		return dn <= 2 && c.Doses == 2
	}
	return dn == sd
}

// singleProduct reports whether one dose of a product was a full series.
func singleProduct(productID string) bool {
	for _, p := range codesByProduct[productID] {
		return p.codes.Doses == 1
	}
	return false
}
