package dcc

import (
	"errors"
	"testing"
)

// Every rule of the guide to the issuing interface, and what is in none.
func TestDoses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		v      Vaccination
		dn, sd int // 0: no rule
	}{
		"first":                      {Vaccination{ProductID: "comirnaty", DoseNumber: 1, DosesTotal: 2}, 1, 2},
		"second, same":               {Vaccination{ProductID: "comirnaty", DoseNumber: 2, DosesTotal: 2}, 2, 2},
		"second, cross":              {Vaccination{ProductID: "spikevax", DoseNumber: 2, DosesTotal: 2, FirstProduct: "vaxzevria"}, 2, 2},
		"Janssen":                    {Vaccination{ProductID: "janssen", DoseNumber: 1, DosesTotal: 1}, 1, 1},
		"after Janssen":              {Vaccination{ProductID: "comirnaty", DoseNumber: 2, DosesTotal: 2, FirstProduct: "janssen"}, 2, 1},
		"booster after Janssen":      {Vaccination{ProductID: "spikevax", DoseNumber: 3, DosesTotal: 3, FirstProduct: "janssen"}, 3, 1},
		"fourth after Janssen":       {Vaccination{ProductID: "spikevax", DoseNumber: 4, DosesTotal: 4, FirstProduct: "janssen"}, 4, 1},
		"recovered":                  {Vaccination{ProductID: "comirnaty", DoseNumber: 1, DosesTotal: 1}, 1, 1},
		"recovered, known":           {Vaccination{ProductID: "comirnaty", DoseNumber: 1, DosesTotal: 2, Recovered: true}, 1, 1},
		"recovered, Janssen":         {Vaccination{ProductID: "janssen", DoseNumber: 1, DosesTotal: 1, Recovered: true}, 1, 1},
		"booster after recovered":    {Vaccination{ProductID: "comirnaty", DoseNumber: 2, DosesTotal: 2, Recovered: true}, 2, 1},
		"2nd booster, recovered":     {Vaccination{ProductID: "janssen", DoseNumber: 3, DosesTotal: 3, Recovered: true}, 3, 1},
		"booster":                    {Vaccination{ProductID: "comirnaty", DoseNumber: 3, DosesTotal: 3, FirstProduct: "vaxzevria"}, 3, 3},
		"booster with Janssen":       {Vaccination{ProductID: "janssen", DoseNumber: 3, DosesTotal: 3, FirstProduct: "vaxzevria"}, 3, 3},
		"second booster":             {Vaccination{ProductID: "comirnaty", DoseNumber: 4, DosesTotal: 4}, 4, 4},
		"Janssen as second":          {Vaccination{ProductID: "janssen", DoseNumber: 2, DosesTotal: 2, FirstProduct: "comirnaty"}, 0, 0},
		"Janssen twice":              {Vaccination{ProductID: "janssen", DoseNumber: 2, DosesTotal: 2, FirstProduct: "janssen"}, 0, 0},
		"half a series of Janssen":   {Vaccination{ProductID: "janssen", DoseNumber: 1, DosesTotal: 2}, 0, 0},
		"no dose":                    {Vaccination{ProductID: "comirnaty", DoseNumber: 0, DosesTotal: 2}, 0, 0},
		"more than the schema knows": {Vaccination{ProductID: "comirnaty", DoseNumber: 10, DosesTotal: 9}, 0, 0},

		"stated 1/2":            {Vaccination{ProductID: "comirnaty", DoseNumber: 1, DosesTotal: 2, Stated: true}, 1, 2},
		"stated 1/1":            {Vaccination{ProductID: "comirnaty", DoseNumber: 1, DosesTotal: 1, Stated: true}, 1, 1},
		"stated 2/1":            {Vaccination{ProductID: "comirnaty", DoseNumber: 2, DosesTotal: 1, Stated: true}, 2, 1},
		"stated 3/1":            {Vaccination{ProductID: "comirnaty", DoseNumber: 3, DosesTotal: 1, Stated: true}, 3, 1},
		"stated 3/3":            {Vaccination{ProductID: "nuvaxovid", DoseNumber: 3, DosesTotal: 3, Stated: true}, 3, 3},
		"stated 3/2":            {Vaccination{ProductID: "comirnaty", DoseNumber: 3, DosesTotal: 2, Stated: true}, 0, 0},
		"stated 1/3":            {Vaccination{ProductID: "comirnaty", DoseNumber: 1, DosesTotal: 3, Stated: true}, 0, 0},
		"stated 2/2 of Janssen": {Vaccination{ProductID: "janssen", DoseNumber: 2, DosesTotal: 2, Stated: true}, 0, 0},
		"stated 0/1":            {Vaccination{ProductID: "janssen", DoseNumber: 0, DosesTotal: 1, Stated: true}, 0, 0},
	} {
		codes, ok := CodesFor(c.v.ProductID, issuedAt)
		if !ok {
			t.Fatal(name)
		}
		dn, sd, err := Doses(codes, c.v)
		if dn != c.dn || sd != c.sd || (err != nil) != (c.dn == 0) || err != nil && !errors.Is(err, ErrDoseRule) {
			t.Errorf("%s: %d/%d, %v", name, dn, sd, err)
		}
	}
}
