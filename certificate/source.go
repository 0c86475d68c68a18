package certificate

import (
	"context"
	"errors"

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
}

// FromRecords reads the treatment record (Behandlungsdokumentation).
func FromRecords(s *vaccination.Service) Source {
	return Source{
		Record: func(ctx context.Context, q pg.Querier, recordID string) (Vaccination, error) {
			r, err := s.Get(ctx, q, recordID)
			if errors.Is(err, vaccination.ErrNotFound) || errors.Is(err, vault.ErrDestroyed) {
				return Vaccination{}, ErrGone
			}
			return ofRecord(r), err
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
	p := r.Patient
	return Vaccination{
		RecordID: r.ID, KeyID: r.KeyID, PersonID: r.LoginPersonID,
		Vaccination: dcc.Vaccination{
			ProductID: r.ProductID, Place: r.Place, Day: r.Day, DoseNumber: r.DoseNumber, DosesTotal: r.DosesTotal,
			FamilyName: p.FamilyName, GivenName: p.GivenName, PassportFamily: p.PassportFamily, PassportGiven: p.PassportGiven,
			Birth: p.Birth.String(),
		},
		Email: p.Contact.Email, Phone: p.Contact.Phone, Lang: p.Contact.Lang,
	}
}
