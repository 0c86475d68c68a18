package desk

import (
	"time"

	"impfportal/certificate"
	"impfportal/internal/web"
	"impfportal/vaccination"
)

// waitCalmly is how long after a record the page looks again every two seconds; later,
// and while something is stopped, every half minute.
const waitCalmly = 30 * time.Second

type resultPage struct {
	vaccination.Issued
	Product     string
	Hold        *hold
	Certificate *certificate.Certificate // the newest one; nil: it is being made
	Refresh     int                      // seconds; 0: nothing more will come
}

// result shows how far the certificate of a record is. It says nothing personal.
func (s *Service) result(c *web.Ctx) error {
	w, err := s.who(c)
	if err != nil {
		return err
	}
	p, err := s.resultOf(c, w, c.Params("id"))
	if err != nil {
		return err
	}
	return c.Page("desk/result", p)
}

// resultOf is how far the certificate of a record of the issuer is.
func (s *Service) resultOf(c *web.Ctx, w Who, recordID string) (p resultPage, err error) {
	r, err := s.issued(c.Std(), s.Pool, w, recordID)
	if err != nil {
		return p, problem(err)
	}
	names, _, err := s.products(c)
	if err != nil {
		return p, err
	}
	p = resultPage{Issued: r, Product: names[r.ProductID]}
	list, err := s.Certificates.OfRecord(c.Std(), s.Pool, r.ID)
	if err != nil {
		return p, err
	}
	if len(list) > 0 {
		p.Certificate = &list[0]
	}
	if !p.Over() {
		if p.Hold, err = s.hold(c, w); err != nil {
			return p, err
		}
		if p.Refresh = 30; p.Hold == nil && c.Now.Sub(r.RecordedAt) < waitCalmly {
			p.Refresh = 2
		}
	}
	return p, nil
}

// Over tells whether the certificate is made, or will not be.
func (p resultPage) Over() bool {
	if p.Certificate == nil {
		return false
	}
	switch p.Certificate.State {
	case certificate.StateReleased, certificate.StateRevoked, certificate.StateRefused:
		return true
	default:
		return false
	}
}

// download hands the newest certificate of a record out, for the person in front of the
// desk. It stands in the audit as a look at the record.
func (s *Service) download(c *web.Ctx) error {
	w, err := s.who(c)
	if err != nil {
		return err
	}
	if err := s.look(c.Std(), w, "look", looksMost); err != nil {
		return problem(err)
	}
	r, _, err := s.Records.OpenRecord(c.Std(), w.desk(c.Now), c.Params("id"))
	if err != nil {
		return problem(err)
	}
	list, err := s.Certificates.OfRecord(c.Std(), s.Pool, r.ID)
	if err != nil {
		return err
	}
	for _, x := range list {
		if !x.Ready() {
			continue
		}
		return s.Certificates.SendFile(c, x, c.Params("kind"))
	}
	return web.NotFound()
}
