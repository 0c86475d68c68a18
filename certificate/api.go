package certificate

import (
	"crypto/x509"
	"encoding/base64"
	"slices"
	"time"

	"impfportal/certificate/dcc"
	"impfportal/internal/web"
)

// JSON is a certificate in the API. What a certificate attests is missing while it is
// being made.
type JSON struct {
	ID           string `json:"id,omitempty" doc:"empty while the worker has not begun"`
	State        string `json:"state" doc:"making, ready, revoked, or refused when a person has to settle something"`
	Problem      string `json:"problem,omitempty" doc:"why it was refused: name, dose or dates"`
	Waiting      bool   `json:"waiting,omitempty" doc:"making, and held back until a stop ends"`
	Test         bool   `json:"test" doc:"true outside production: not a certificate"`
	Product      string `json:"product,omitempty"`
	Dose         int    `json:"dose,omitempty"`
	Doses        int    `json:"doses,omitempty"`
	VaccinatedOn string `json:"vaccinated_on,omitempty" doc:"day, ISO 8601"`
	UVCI         string `json:"uvci,omitempty" doc:"unique certificate id"`
	IssuedAt     string `json:"issued_at,omitempty" doc:"RFC 3339"`
	ExpiresAt    string `json:"expires_at,omitempty" doc:"RFC 3339"`
	Reason       string `json:"reason,omitempty" doc:"why it was revoked: corrected, record-void, fraud, compromise, lot or holder"`
	RevokedAt    string `json:"revoked_at,omitempty" doc:"RFC 3339"`
	HC1          string `json:"hc1,omitempty" doc:"the text of the QR code; not in the list of a login"`
}

// JSON says a certificate for the API, withText with the text of its QR code.
func (s *Service) JSON(c Certificate, withText bool) JSON {
	out := JSON{ID: c.ID, State: "making", Problem: c.Problem, Waiting: c.Waiting, Test: !s.Production}
	switch {
	case c.State == StateRefused:
		out.State = "refused"
	case c.State == StateRevoked:
		out.State, out.Reason, out.RevokedAt = "revoked", string(c.Reason), c.RevokedAt.UTC().Format(time.RFC3339)
		out.UVCI = c.Entry().ID
	case c.Ready():
		e := c.Entry()
		out.State, out.Product, out.Dose, out.Doses = "ready", c.Codes().ProductName, e.Dose, e.Doses
		out.VaccinatedOn, out.UVCI = e.Date, e.ID
		out.IssuedAt, out.ExpiresAt = c.IssuedAt.UTC().Format(time.RFC3339), c.ExpiresAt.UTC().Format(time.RFC3339)
		if withText {
			out.HC1 = c.HC1
		}
	}
	return out
}

type listJSON struct {
	Certificates []JSON `json:"certificates"`
}

func (s *Service) apiList(c *web.Ctx, _ struct{}) (listJSON, error) {
	list, err := s.OfPerson(c.Std(), s.Pool, c.User.ID)
	out := listJSON{Certificates: []JSON{}}
	for _, x := range list {
		out.Certificates = append(out.Certificates, s.JSON(x, false))
	}
	return out, err
}

type getJSON struct {
	ID string `path:"id" json:"-"`
}

func (s *Service) apiGet(c *web.Ctx, in getJSON) (JSON, error) {
	x, err := s.own(c, in.ID)
	if err != nil {
		return JSON{}, err
	}
	return s.JSON(x, true), nil
}

// trustJSON is the trust list, in the manner of the national DSC lists.
type trustJSON struct {
	Country     string        `json:"country"`
	Test        bool          `json:"test" doc:"true outside production: trust these for tests only"`
	Signers     []trustedJSON `json:"signers" doc:"document signer certificates (DSC)"`
	Authorities []trustedJSON `json:"authorities" doc:"country signing certificate authorities (CSCA)"`
	Distrusted  []string      `json:"distrusted" doc:"key ids (base64) of signers that must not be trusted any more, whatever they have signed"`
}

type trustedJSON struct {
	KID         string `json:"kid" doc:"base64 of the first 8 bytes of the certificate's SHA-256"`
	Certificate string `json:"certificate" doc:"base64 of the X.509 certificate (DER)"`
	NotBefore   string `json:"not_before" doc:"RFC 3339"`
	NotAfter    string `json:"not_after" doc:"RFC 3339"`
}

func (s *Service) apiTrust(c *web.Ctx, _ struct{}) (trustJSON, error) {
	cscas, dscs := s.Keys.TrustList()
	bad, err := s.Distrusted(c.Std(), s.Pool)
	if err != nil {
		return trustJSON{}, err
	}
	out := trustJSON{Country: dcc.Country, Test: !s.Production, Authorities: trusted(cscas), Distrusted: []string{}}
	for _, kid := range bad {
		out.Distrusted = append(out.Distrusted, base64.StdEncoding.EncodeToString(kid))
	}
	out.Signers = slices.DeleteFunc(trusted(dscs), func(t trustedJSON) bool { return slices.Contains(out.Distrusted, t.KID) })
	c.Set("Cache-Control", "public, max-age=300")
	return out, nil
}

func trusted(certs []*x509.Certificate) []trustedJSON {
	out := make([]trustedJSON, len(certs))
	for i, c := range certs {
		kid := dcc.KID(c)
		out[i] = trustedJSON{
			KID: base64.StdEncoding.EncodeToString(kid[:]), Certificate: base64.StdEncoding.EncodeToString(c.Raw),
			NotBefore: c.NotBefore.UTC().Format(time.RFC3339), NotAfter: c.NotAfter.UTC().Format(time.RFC3339),
		}
	}
	return out
}
