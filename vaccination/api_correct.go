package vaccination

import (
	"errors"
	"time"

	"impfportal/internal/web"
)

type findRecordsIn struct {
	Code        string `json:"code,omitempty" doc:"reference of the appointment"`
	Certificate string `json:"certificate,omitempty" doc:"id of a certificate (URN:UVCI:...)"`
	FamilyName  string `json:"family_name,omitempty"`
	GivenName   string `json:"given_name,omitempty"`
	Birth       string `json:"birth,omitempty" doc:"YYYY, YYYY-MM or YYYY-MM-DD"`
}

type findRecordsOut struct {
	Records []deskRecordJSON `json:"records" doc:"the newest first"`
}

// contentJSON is Content.
type contentJSON struct {
	FamilyName     string `json:"family_name"`
	GivenName      string `json:"given_name"`
	PassportFamily string `json:"passport_family"`
	PassportGiven  string `json:"passport_given"`
	Birth          string `json:"birth" doc:"YYYY, YYYY-MM or YYYY-MM-DD"`
	Day            string `json:"day" doc:"of the dose, YYYY-MM-DD"`
	DoseNumber     int    `json:"dose_number"`
	DosesTotal     int    `json:"doses_total"`
	ProductID      string `json:"product_id"`
	LotNumber      string `json:"lot_number"`
	Place          string `json:"place" doc:"centre id; what it is for others stays as it is"`
}

func contentOut(c Content) contentJSON {
	return contentJSON{
		c.FamilyName, c.GivenName, c.PassportFamily, c.PassportGiven, c.Birth.String(), c.Day.Format(time.DateOnly),
		c.DoseNumber, c.DosesTotal, c.ProductID, c.LotNumber, c.Place,
	}
}

func (c contentJSON) read() (Content, error) {
	out := Content{
		FamilyName: c.FamilyName, GivenName: c.GivenName, PassportFamily: c.PassportFamily, PassportGiven: c.PassportGiven,
		DoseNumber: c.DoseNumber, DosesTotal: c.DosesTotal, ProductID: c.ProductID, LotNumber: c.LotNumber, Place: c.Place,
	}
	if err := out.Birth.UnmarshalText([]byte(c.Birth)); err != nil {
		return out, web.Invalid(web.FieldError{Field: "birth", Key: "vaccination.error.birth"})
	}
	day, err := time.Parse(time.DateOnly, c.Day)
	if err != nil {
		return out, web.Invalid(web.FieldError{Field: "day", Key: "vaccination.correct.error.day"})
	}
	out.Day = day
	return out, nil
}

type deskRecordJSON struct {
	ID        string         `json:"id"`
	Version   int            `json:"version" doc:"to be named by who corrects it"`
	Content   contentJSON    `json:"content"`
	Channel   Channel        `json:"channel"`
	Basis     Basis          `json:"basis" enum:"given,seen"`
	IssuerRef string         `json:"issuer_ref"`
	GivenAt   time.Time      `json:"given_at"`
	Removed   *time.Time     `json:"removed_at,omitempty" doc:"it counts as not given"`
	Former    []revisionJSON `json:"former,omitempty" doc:"what it said before, oldest first"`
}

type revisionJSON struct {
	Version int         `json:"version"`
	Content contentJSON `json:"content"`
	Changed []string    `json:"changed"`
	Reason  string      `json:"reason"`
	At      time.Time   `json:"at"`
	By      string      `json:"by"`
}

func deskRecord(r Record, revisions []Revision) deskRecordJSON {
	out := deskRecordJSON{
		ID: r.ID, Version: r.Version, Content: contentOut(r.Content()), Channel: r.Channel, Basis: r.Basis, IssuerRef: r.IssuerRef, GivenAt: r.GivenAt.UTC(),
	}
	if r.Removed() {
		at := r.RemovedAt.UTC()
		out.Removed = &at
	}
	for _, v := range revisions {
		out.Former = append(out.Former, revisionJSON{v.Version, contentOut(v.Content), v.Changed, v.Reason, v.At.UTC(), v.By})
	}
	return out
}

func (s *Service) apiFindRecords(c *web.Ctx, in findRecordsIn) (findRecordsOut, error) {
	out := findRecordsOut{Records: []deskRecordJSON{}}
	q := Query{Code: in.Code, Certificate: in.Certificate, Family: in.FamilyName, Given: in.GivenName}
	if err := q.Birth.UnmarshalText([]byte(in.Birth)); err != nil {
		return out, web.Invalid(web.FieldError{Field: "birth", Key: "vaccination.error.birth"})
	}
	found, err := s.FindRecords(c.Std(), deskOf(c), q)
	switch {
	case errors.Is(err, ErrCode):
		return out, web.Invalid(web.FieldError{Field: "code", Key: "vaccination.error.code"})
	case errors.Is(err, ErrCertificate):
		return out, web.Invalid(web.FieldError{Field: "certificate", Key: "vaccination.error.certificate"})
	case errors.Is(err, ErrInvalid):
		return out, web.Invalid(web.FieldError{Field: "family_name", Key: "vaccination.error.query"})
	}
	for _, r := range found {
		out.Records = append(out.Records, deskRecord(r, nil))
	}
	return out, err
}

type recordIn struct {
	ID string `json:"-" path:"id"`
}

func (s *Service) apiOpenRecord(c *web.Ctx, in recordIn) (deskRecordJSON, error) {
	r, revisions, err := s.OpenRecord(c.Std(), deskOf(c), in.ID)
	if err != nil {
		return deskRecordJSON{}, Problem(err)
	}
	return deskRecord(r, revisions), nil
}

type correctIn struct {
	ID      string      `json:"-" path:"id"`
	Version int         `json:"version" doc:"of the record as it was seen; 409 when it is another by now"`
	Reason  string      `json:"reason"`
	Content contentJSON `json:"content" doc:"all of it, as it shall be"`
}

func (s *Service) apiCorrect(c *web.Ctx, in correctIn) (deskRecordJSON, error) {
	to, err := in.Content.read()
	if err != nil {
		return deskRecordJSON{}, err
	}
	r, err := s.CorrectAt(c.Std(), deskOf(c), Correction{RecordID: in.ID, Version: in.Version, Reason: in.Reason, To: to})
	if err != nil {
		return deskRecordJSON{}, Problem(err)
	}
	return deskRecord(r, nil), nil
}
