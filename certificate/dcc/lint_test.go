package dcc

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

// Lint passes what Build makes, and nothing in which one field is wrong.
func TestLint(t *testing.T) {
	t.Parallel()
	good := sampleClaims(t)
	if err := good.Lint(); err != nil {
		t.Fatal(err)
	}
	for what, change := range map[string]func(*Claims, *Entry){
		"country":            func(c *Claims, _ *Entry) { c.Issuer = "FR" },
		"expires first":      func(c *Claims, _ *Entry) { c.ExpiresAt = c.IssuedAt },
		"version":            func(c *Claims, _ *Entry) { c.HCert.DCC.Version = "1.0.0" },
		"birth":              func(c *Claims, _ *Entry) { c.HCert.DCC.Birth = "12.8.1964" },
		"two vaccinations":   func(c *Claims, _ *Entry) { c.HCert.DCC.V = append(c.HCert.DCC.V, c.HCert.DCC.V[0]) },
		"no name":            func(c *Claims, _ *Entry) { c.HCert.DCC.Name = Name{} },
		"small letters":      func(c *Claims, _ *Entry) { c.HCert.DCC.Name.FamilyStd = "Muster" },
		"long name":          func(c *Claims, _ *Entry) { c.HCert.DCC.Name.Family = strings.Repeat("ä", 81) },
		"not transliterated": func(c *Claims, _ *Entry) { c.HCert.DCC.Name.GivenStd = "" },
		"day":                func(_ *Claims, e *Entry) { e.Date = "2021-07-21" },
		"no date":            func(_ *Claims, e *Entry) { e.Date = "yesterday" },
		"dose 0":             func(_ *Claims, e *Entry) { e.Dose = 0 },
		"dose 3 of 2":        func(_ *Claims, e *Entry) { e.Dose = 3 },
		"dose 10":            func(_ *Claims, e *Entry) { e.Dose, e.Doses = 10, 10 },
		"issuer":             func(_ *Claims, e *Entry) { e.Issuer = "" },
		"id":                 func(_ *Claims, e *Entry) { e.ID = e.ID[:len(e.ID)-1] },
		"disease":            func(_ *Claims, e *Entry) { e.Disease = "1" },
		"holder of another":  func(_ *Claims, e *Entry) { e.Holder = "ORG-100031184" },
		"kind of another":    func(_ *Claims, e *Entry) { e.Prophylaxis = vpATC },
		"unknown product":    func(_ *Claims, e *Entry) { e.Product = "EU/1/21/9999" },
	} {
		bad := *good
		bad.claims.HCert.DCC.V = slices.Clone(good.claims.HCert.DCC.V)
		change(&bad.claims, &bad.claims.HCert.DCC.V[0])
		if err := bad.Lint(); !errors.Is(err, ErrLint) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
