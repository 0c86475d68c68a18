package dcc

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestCodesAreDated(t *testing.T) {
	t.Parallel()
	before, after := atcRetired.Add(-time.Second), atcRetired
	for product, want := range map[string][2]string{
		"comirnaty": {"1119349007", "1119349007"}, "spikevax": {"1119349007", "1119349007"},
		"vaxzevria": {"J07BX03", "29061000087103"}, "janssen": {"J07BX03", "29061000087103"},
		"nuvaxovid": {"J07BX03", "1162643001"},
	} {
		old, _ := CodesFor(product, before)
		now, _ := CodesFor(product, after)
		if old.Prophylaxis != want[0] || now.Prophylaxis != want[1] || old.Product != now.Product {
			t.Errorf("%s: %s, %s", product, old.Prophylaxis, now.Prophylaxis)
		}
	}
	if _, ok := CodesFor("influvac", after); ok {
		t.Error("influenza has no EU certificate")
	}
}

func TestBuild(t *testing.T) {
	t.Parallel()
	id := NewUVCI("leipzig")
	build := func(change func(*Vaccination)) (Claims, error) {
		v := sample()
		change(&v)
		built, err := Build(v, "MUSTER", id, issuedAt, issuedAt.Add(year))
		if err != nil {
			return Claims{}, err
		}
		return built.Claims(), nil
	}
	c, err := build(func(*Vaccination) {})
	if err != nil {
		t.Fatal(err)
	}
	want := Claims{
		Issuer: "DE", IssuedAt: issuedAt.Unix(), ExpiresAt: issuedAt.Unix() + 365*86400,
		HCert: HCert{Payload{
			Version: "1.3.0", Birth: "1998-02-26",
			Name: Name{Family: "Musterfrau-Gößinger", FamilyStd: "MUSTERFRAU<GOESSINGER", Given: "Gabriele Jiřina", GivenStd: "GABRIELE<JIRINA"},
			V: []Entry{{
				Disease: "840539006", Prophylaxis: "1119349007", Product: "EU/1/20/1528", Holder: "ORG-100030215",
				Dose: 2, Doses: 2, Date: "2021-07-19", Country: "DE", Issuer: "MUSTER", ID: id,
			}},
		}},
	}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got %+v\nwant %+v", c, want)
	}
	c, err = build(func(v *Vaccination) { v.PassportFamily, v.PassportGiven = "Musterfrau-Goszinger", " " })
	if err != nil || c.HCert.DCC.Name.FamilyStd != "MUSTERFRAU<GOSZINGER" || c.HCert.DCC.Name.Family != "Musterfrau-Gößinger" || c.HCert.DCC.Name.GivenStd != "GABRIELE<JIRINA" {
		t.Errorf("passport's form: %+v, %v", c.HCert.DCC.Name, err)
	}
	c, err = build(func(v *Vaccination) { v.FamilyName, v.PassportFamily = "Иванова", "Ivanova" })
	if err != nil || c.HCert.DCC.Name.FamilyStd != "IVANOVA" || c.HCert.DCC.Name.Family != "Иванова" {
		t.Errorf("passport's form for another script: %+v, %v", c.HCert.DCC.Name, err)
	}
	if c, err = build(func(v *Vaccination) { v.GivenName = "" }); err != nil || c.HCert.DCC.Name.Given != "" {
		t.Errorf("one name: %+v, %v", c.HCert.DCC.Name, err)
	}
	for _, birth := range []string{"", "1998", "1998-02"} {
		if c, err := build(func(v *Vaccination) { v.Birth = birth }); err != nil || c.HCert.DCC.Birth != birth {
			t.Errorf("born %q: %v", birth, err)
		}
	}
	for name, bad := range map[string]struct {
		change func(*Vaccination)
		want   error
	}{
		"influenza":          {func(v *Vaccination) { v.ProductID = "influvac" }, ErrNoCodes},
		"tenth dose":         {func(v *Vaccination) { v.DoseNumber, v.DosesTotal = 10, 10 }, ErrDoseRule},
		"no name":            {func(v *Vaccination) { v.FamilyName, v.GivenName = " ", "" }, ErrName},
		"other script":       {func(v *Vaccination) { v.FamilyName = "Иванова" }, ErrName},
		"tomorrow":           {func(v *Vaccination) { v.Day = v.Day.AddDate(0, 0, 1) }, ErrDates},
		"no day":             {func(v *Vaccination) { v.Day = time.Time{} }, ErrDates},
		"before any vaccine": {func(v *Vaccination) { v.Day = firstVaccination.AddDate(0, 0, -1) }, ErrDates},
		"born in 1899":       {func(v *Vaccination) { v.Birth = "1899-12-31" }, ErrDates},
		"born in month 13":   {func(v *Vaccination) { v.Birth = "1998-13" }, ErrDates},
		"not yet born":       {func(v *Vaccination) { v.Birth = "2021-07-20" }, ErrDates},
	} {
		if _, err := build(bad.change); !errors.Is(err, bad.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Build(sample(), "MUSTER", strings.Replace(id, "#", "", 1), issuedAt, issuedAt.Add(year)); !errors.Is(err, ErrUVCI) {
		t.Errorf("bad id: %v", err)
	}
	// Just after midnight in Berlin it is still yesterday in UTC.
	midnight := time.Date(2021, 7, 18, 22, 30, 0, 0, time.UTC)
	if _, err := Build(sample(), "MUSTER", id, midnight, midnight.Add(year)); err != nil {
		t.Errorf("half past midnight: %v", err)
	}
}
