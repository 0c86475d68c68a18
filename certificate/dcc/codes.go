package dcc

import "time"

// diseaseCOVID19 is the SNOMED CT code of the only disease this certificate
// knows (value set disease-agent-targeted).
const diseaseCOVID19 = "840539006"

// Codes are the official codes of a vaccine, as the EU's value sets and the
// German guide to the issuing interface (certification-apis,
// Implementation.md) name them.
type Codes struct {
	Disease, Prophylaxis, Product, Holder string // tg, vp, mp, ma
	// Words beside the codes, for pages and papers (English, as in the value sets).
	ProphylaxisName, ProductName, HolderName string
	// Doses of a full series of this vaccine on its own, by the German rules.
	Doses int
}

// codePeriod is one row of the dated value set.
type codePeriod struct {
	from  time.Time // day of issue from which the row holds
	codes Codes
}

// The kinds of vaccine (vaccine or prophylaxis) with the words of the value set.
const (
	vpMRNA        = "1119349007"
	vpMRNAName    = "SARS-CoV-2 mRNA vaccine"
	vpATC         = "J07BX03"
	vpATCName     = "covid-19 vaccines"
	vpVector      = "29061000087103"
	vpVectorName  = "COVID-19 non-replicating viral vector vaccine"
	vpProtein     = "1162643001"
	vpProteinName = "SARS-CoV-2 recombinant spike protein antigen vaccine"
)

// atcRetired is the day of value sets 1.14, which deprecated J07BX03.
var atcRetired = time.Date(2023, 1, 25, 0, 0, 0, 0, time.UTC)

// codesByProduct is keyed by the portal's product ids. The newest row whose
// day has come counts, by the day of issue and not of vaccination: a code
// that has been withdrawn must not appear in a new certificate.
var codesByProduct = map[string][]codePeriod{
	"comirnaty": {{codes: Codes{
		diseaseCOVID19, vpMRNA, "EU/1/20/1528", "ORG-100030215",
		vpMRNAName, "Comirnaty", "Biontech Manufacturing GmbH", 2,
	}}},
	"spikevax": {{codes: Codes{
		diseaseCOVID19, vpMRNA, "EU/1/20/1507", "ORG-100031184",
		vpMRNAName, "Spikevax", "Moderna Biotech Spain S.L.", 2,
	}}},
	"vaxzevria": {
		{codes: Codes{
			diseaseCOVID19, vpATC, "EU/1/21/1529", "ORG-100001699",
			vpATCName, "Vaxzevria", "AstraZeneca AB", 2,
		}},
		{from: atcRetired, codes: Codes{
			diseaseCOVID19, vpVector, "EU/1/21/1529", "ORG-100001699",
			vpVectorName, "Vaxzevria", "AstraZeneca AB", 2,
		}},
	},
	"janssen": {
		{codes: Codes{
			diseaseCOVID19, vpATC, "EU/1/20/1525", "ORG-100001417",
			vpATCName, "COVID-19 Vaccine Janssen", "Janssen-Cilag International", 1,
		}},
		{from: atcRetired, codes: Codes{
			diseaseCOVID19, vpVector, "EU/1/20/1525", "ORG-100001417",
			vpVectorName, "Jcovden", "Janssen-Cilag International", 1,
		}},
	},
	"nuvaxovid": {
		{codes: Codes{
			diseaseCOVID19, vpATC, "EU/1/21/1618", "ORG-100032020",
			vpATCName, "Nuvaxovid", "Novavax CZ a.s.", 2,
		}},
		{from: atcRetired, codes: Codes{
			diseaseCOVID19, vpProtein, "EU/1/21/1618", "ORG-100032020",
			vpProteinName, "Nuvaxovid", "Novavax CZ a.s.", 2,
		}},
	},
}

// CodesFor returns the codes of a product for a certificate issued on that
// day. Not ok means that no EU certificate exists for the product (influenza
// and everything else), which is no error.
func CodesFor(productID string, issued time.Time) (Codes, bool) {
	var found Codes
	ok := false
	for _, p := range codesByProduct[productID] {
		if !p.from.After(issued) {
			found, ok = p.codes, true
		}
	}
	return found, ok
}

// ProductOf finds the product that an issuer's software names by codes: each code
// that the value sets have or had for it, and J07BX03 for all of them, as the
// German guide allows. Which code the certificate carries is the affair of
// [CodesFor], not of whoever asks for it.
func ProductOf(disease, prophylaxis, product, holder string) (productID string, ok bool) {
	if disease != diseaseCOVID19 {
		return "", false
	}
	for productID, periods := range codesByProduct {
		for _, p := range periods {
			if p.codes.Product == product && p.codes.Holder == holder && (prophylaxis == p.codes.Prophylaxis || prophylaxis == vpATC) {
				return productID, true
			}
		}
	}
	return "", false
}

// Describe finds the codes that stand in a certificate, whenever it was
// issued, for the words beside them.
func Describe(e Entry) Codes {
	c := Codes{
		Disease: e.Disease, Prophylaxis: e.Prophylaxis, Product: e.Product, Holder: e.Holder,
		ProphylaxisName: e.Prophylaxis, ProductName: e.Product, HolderName: e.Holder,
	}
	for _, periods := range codesByProduct {
		for _, p := range periods {
			if p.codes.Product == e.Product && p.codes.Prophylaxis == e.Prophylaxis {
				return p.codes
			}
		}
	}
	return c
}

// Products lists all codes of all products, of earlier value sets too.
func Products() (out []Codes) {
	for _, periods := range codesByProduct {
		for _, p := range periods {
			out = append(out, p.codes)
		}
	}
	return out
}
