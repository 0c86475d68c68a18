package certificate

import (
	"context"
	"errors"
	"fmt"

	"impfportal/certificate/dcc"
	"impfportal/internal/pg"
	"impfportal/internal/vault"
	"impfportal/vaccination"
)

// Vaccination is a treatment record as far as its certificate is concerned.
type Vaccination struct {
	RecordID string
	KeyID    string // vault key of the record: the certificate is sealed under it and ends with it
	PersonID string // login that may fetch the certificate; "" = walk-in, care home
	dcc.Vaccination
	Email, Phone, Lang string // contact that stays with the record; may be empty
	Origin
}

// Origin is who made a record and how: what a stop, a revocation and a
// statement go by. Nothing in it names the person.
type Origin struct {
	IssuerRef  string // "centre:<id>", "facility-team:<id>", "issuer:<id>"
	IssuerKind string // centre, mobile, practice, pharmacy
	Region     string // postal region of the issuer; "" unknown
	Path       string // site, web, mtls, card
	Basis      string // given, seen
	Operator   string // opaque
	LotNumber  string
	// Further: seen in a document like another dose of the same person that the
	// same issuer recorded before on the same day.
	Further bool
}

// Cohorts are the groups of issuers that have a document signer of their own,
// so that one of them can be distrusted without the rest. The first is for
// whoever is in no other.
var Cohorts = []string{"", "sites", "practices", "pharmacies"}

// CohortOf is the group to which a kind of issuer belongs.
func CohortOf(issuerKind string) string {
	switch issuerKind {
	case vaccination.IssuerCentre, vaccination.IssuerMobile:
		return "sites"
	case vaccination.IssuerPractice:
		return "practices"
	case vaccination.IssuerPharmacy:
		return "pharmacies"
	}
	return ""
}

// FromRecords reads the treatment record (Behandlungsdokumentation).
func FromRecords(s *vaccination.Service) Source {
	return Source{
		Record: func(ctx context.Context, q pg.Querier, recordID string) (Vaccination, error) {
			r, err := s.Get(ctx, q, recordID)
			if errors.Is(err, vaccination.ErrNotFound) || errors.Is(err, vault.ErrDestroyed) {
				return Vaccination{}, ErrGone
			}
			if err != nil {
				return Vaccination{}, err
			}
			if r.Removed() {
				return ofRecord(r), ErrVoid
			}
			v := ofRecord(r)
			if r.Basis == vaccination.Seen {
				if v.Further, err = s.Further(ctx, q, recordID); err != nil {
					return v, err
				}
			}
			if !v.Stated {
				history, err := s.History(ctx, q, recordID)
				if err != nil {
					return v, fmt.Errorf("history: %w", err)
				}
				v.after(history)
			}
			return v, nil
		},
		OfPerson: func(ctx context.Context, q pg.Querier, personID string) ([]Vaccination, error) {
			records, err := s.OfPerson(ctx, q, personID)
			out := make([]Vaccination, len(records))
			for i, r := range records {
				out[i] = ofRecord(r)
			}
			return out, err
		},
	}
}

// ofRecord takes over what a certificate is made from.
func ofRecord(r vaccination.Record) Vaccination {
	p, place := r.Patient, r.Location
	if place == "" {
		place = r.Place
	}
	return Vaccination{
		RecordID: r.ID, KeyID: r.KeyID, PersonID: r.LoginPersonID,
		Vaccination: dcc.Vaccination{
			ProductID: r.ProductID, Place: place, Day: r.Day, DoseNumber: r.DoseNumber, DosesTotal: r.DosesTotal,
			Stated:     r.Channel == vaccination.ByIssuer,
			FamilyName: p.FamilyName, GivenName: p.GivenName, PassportFamily: p.PassportFamily, PassportGiven: p.PassportGiven,
			Birth: p.Birth.String(),
		},
		Email: p.Contact.Email, Phone: p.Contact.Phone, Lang: p.Contact.Lang,
		Origin: Origin{
			IssuerRef: r.IssuerRef, IssuerKind: r.IssuerKind, Region: r.Region, Path: r.Path,
			Basis: string(r.Basis), Operator: r.Operator, LotNumber: r.LotNumber,
		},
	}
}

// after numbers a dose by what came before it. The dose number of the record
// counts; the history tells with what the series began.
func (v *Vaccination) after(history []vaccination.PriorDose) {
	for _, h := range history {
		switch {
		case h.Recovered:
			v.Recovered = v.Recovered || v.FirstProduct == ""
		case v.FirstProduct == "":
			v.FirstProduct = h.ProductID
		}
	}
}
