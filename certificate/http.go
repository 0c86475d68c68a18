package certificate

import (
	"context"
	"errors"
	"html/template"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"impfportal/certificate/dcc"
	"impfportal/internal/clock"
	"impfportal/internal/pg"
	"impfportal/internal/qr"
	"impfportal/internal/web"
)

// pngScale makes a QR code of some 800 pixels: sharp on every screen.
const pngScale = 8

// Routes are the pages and operations of this slice. A certificate is handed
// only to the login that its vaccination record names.
func (s *Service) Routes() []web.Route {
	citizen := []web.Role{web.RoleCitizen}
	return []web.Route{
		{Method: http.MethodGet, Path: "/certificates", Roles: citizen, Nav: "certificate.nav", Handle: s.showList},
		{Method: http.MethodGet, Path: "/certificates/:id/wallet", Roles: citizen, Handle: s.download(s.showWallet)},
		{Method: http.MethodGet, Path: "/certificates/:id/certificate.pdf", Roles: citizen, Handle: s.download(s.file(FilePDF))},
		{Method: http.MethodGet, Path: "/certificates/:id/qr.png", Roles: citizen, Handle: s.download(s.showPNG)},
		{Method: http.MethodGet, Path: "/certificates/:id/hc1.txt", Roles: citizen, Handle: s.download(s.file(FileText))},

		{Method: http.MethodGet, Path: "/api/v1/certificates", Roles: citizen, API: web.JSON("The citizen's vaccination certificates, newest first, with those that are still being made", s.apiList)},
		{Method: http.MethodGet, Path: "/api/v1/certificates/trust", API: web.JSON("Certificates with which the portal's vaccination certificates can be verified", s.apiTrust)},
		{Method: http.MethodGet, Path: "/api/v1/certificates/:id", Roles: citizen, API: web.JSON("One vaccination certificate with the text of its QR code", s.apiGet)},
	}
}

// view is a certificate as the pages show it.
type view struct {
	Certificate
	Name, Birth, Product, Holder string
	FullFrom                     time.Time // from when it counts as complete; zero: more doses follow
}

func viewOf(c Certificate) view {
	v := view{Certificate: c}
	if c.HC1 == "" {
		return v
	}
	codes := c.Codes()
	v.Name, v.Birth = fullName(c.Payload.Name), onCard(c.Payload.Birth)
	v.Product, v.Holder = codes.ProductName, codes.HolderName
	v.FullFrom = fullFrom(c.Entry(), codes, c.Day)
	return v
}

// onCard writes an ISO day, as far as it is known, as identity cards do.
func onCard(day string) string {
	parts := strings.Split(day, "-")
	slices.Reverse(parts)
	return strings.Join(parts, ".")
}

func fullName(n dcc.Name) string {
	switch {
	case n.Given == "":
		return n.Family
	case n.Family == "":
		return n.Given
	}
	return n.Given + " " + n.Family
}

// fullFrom is the day from which the holder counts as fully vaccinated
// (section 2 no. 3 SchAusnahmV): on the 15th day after the last dose, at once
// for one dose after an infection; zero while a dose is missing, and for a
// booster, whose holder was fully vaccinated before.
func fullFrom(e dcc.Entry, codes dcc.Codes, day time.Time) time.Time {
	switch {
	case e.Dose < e.Doses, e.Dose > 2, e.Dose > e.Doses:
		return time.Time{}
	case e.Doses == 1 && codes.Doses == 2:
		return day
	}
	return day.AddDate(0, 0, 15)
}

type listPage struct {
	Notices      []template.HTML
	Certificates []view
	Waits        bool // one is not there yet, or there is none: what is said about a stop comes first
	Muster       bool
}

func (s *Service) views(c *web.Ctx) ([]view, error) {
	list, err := s.OfPerson(c.Std(), s.Pool, c.User.ID)
	if err != nil {
		return nil, err
	}
	// What a newer one has replaced stands last.
	slices.SortStableFunc(list, func(a, b Certificate) int {
		switch {
		case a.Replaced == b.Replaced:
			return 0
		case a.Replaced:
			return 1
		}
		return -1
	})
	out := make([]view, len(list))
	for i, x := range list {
		out[i] = viewOf(x)
	}
	return out, nil
}

func (s *Service) showList(c *web.Ctx) error {
	list, err := s.views(c)
	if err != nil {
		return err
	}
	c.Set(fiber.HeaderCacheControl, "no-store")
	notices, err := c.Cards(s.Cards)
	if err != nil {
		return err
	}
	there := func(v view) bool { return v.Ready() || v.State == StateRevoked }
	waits := len(list) == 0 || slices.ContainsFunc(list, func(v view) bool { return !there(v) })
	return c.Page("certificate/list", listPage{Notices: notices, Certificates: list, Waits: waits, Muster: !s.Production})
}

// Card is the certificate's place on the page "my case".
func (s *Service) Card() web.Card {
	return web.Card{Template: "certificate/_card", Data: func(c *web.Ctx) (any, error) {
		list, err := s.views(c)
		if err != nil || len(list) == 0 {
			return nil, err
		}
		return listPage{Certificates: list, Muster: !s.Production}, nil
	}}
}

// Figures count certificates.
type Figures struct {
	Today, Released int // released since midnight in Berlin, and in all
	Open, Late      int // begun and not released; of these for longer than a minute
	Refused         int
	Revoked         int
	Waiting         int // for the end of a stop
	Muster          bool
}

// Count returns the figures at a moment.
func (s *Service) Count(ctx context.Context, q pg.Querier, now time.Time) (f Figures, err error) {
	err = q.QueryRow(ctx, `
		SELECT count(*) FILTER (WHERE released_at >= $1), count(*) FILTER (WHERE state = 'released'),
		       count(*) FILTER (WHERE state IN ('intent', 'signed', 'logged') AND revoked_at IS NULL),
		       count(*) FILTER (WHERE state IN ('intent', 'signed', 'logged') AND revoked_at IS NULL AND waiting_since IS NULL AND created_at < $2),
		       count(*) FILTER (WHERE state = 'refused'), count(*) FILTER (WHERE revoked_at IS NOT NULL), count(*) FILTER (WHERE waiting_since IS NOT NULL)
		  FROM certificate.certificate`, clock.At(clock.Day(now), 0, 0), now.Add(-stale)).
		Scan(&f.Today, &f.Released, &f.Open, &f.Late, &f.Refused, &f.Revoked, &f.Waiting)
	f.Muster = !s.Production
	return f, err
}

// AdminCard shows the figures on the administration's overview.
func (s *Service) AdminCard() web.Card {
	return web.Card{Template: "certificate/_figures", Data: func(c *web.Ctx) (any, error) {
		return s.Count(c.Std(), s.Pool, c.Now)
	}}
}

// download finds the certificate of the path for its owner.
func (s *Service) download(send func(c *web.Ctx, x Certificate) error) func(c *web.Ctx) error {
	return func(c *web.Ctx) error {
		x, err := s.own(c, c.Params("id"))
		if err != nil {
			return err
		}
		return send(c, x)
	}
}

// own returns a ready certificate of whoever asks, or a problem.
func (s *Service) own(c *web.Ctx, certificateID string) (Certificate, error) {
	x, err := s.Get(c.Std(), s.Pool, certificateID, c.User.ID)
	switch {
	case errors.Is(err, ErrNotFound):
		return x, web.NotFound()
	case err != nil:
		return x, err
	case x.State == StateRevoked:
		return x, web.Fail(http.StatusGone, "certificate.error.revoked")
	case !x.Ready():
		return x, web.Fail(http.StatusConflict, "certificate.error.not_ready")
	}
	return x, nil
}

type walletPage struct {
	view
	Muster bool
	Link   string // to this page; whoever opens it logs in
}

// showWallet hands a certificate to an app. Apps read the QR code from a screen,
// from a picture or from a file; so the certificate itself stands in no address,
// where browsers and servers would keep it: the link names the page only.
func (s *Service) showWallet(c *web.Ctx, x Certificate) error {
	return c.Page("certificate/wallet", walletPage{viewOf(x), !s.Production, strings.TrimSuffix(s.PublicURL, "/") + "/certificates/" + x.ID + "/wallet"})
}

// Kinds of file in which a certificate is handed out.
const (
	FilePDF  = "certificate.pdf" // to print
	FilePNG  = "qr.png"          // the QR code
	FileText = "hc1.txt"         // what the QR code says
)

// SendFile hands out a ready certificate as one of these files, in the language
// of who asks; anything else is not found. Who may have it the caller has
// looked at.
func (s *Service) SendFile(c *web.Ctx, x Certificate, kind string) error {
	name := say(c.Lang, "file") + "-" + x.Entry().Date
	switch kind {
	case FilePDF:
		body, err := s.PDF(x, c.Lang)
		if err != nil {
			return err
		}
		return c.Download("application/pdf", name+".pdf", body)
	case FilePNG:
		body, err := picture(x)
		if err != nil {
			return err
		}
		return c.Download("image/png", name+".png", body)
	case FileText:
		return c.Download("text/plain; charset=us-ascii", name+".txt", []byte(x.HC1))
	}
	return web.NotFound()
}

// picture is the QR code as the page shows it.
func picture(x Certificate) ([]byte, error) {
	code, err := qr.Encode(x.HC1, qr.Q)
	if err != nil {
		return nil, err
	}
	return code.PNG(pngScale), nil
}

// showPNG is the picture within the page; its link saves it.
func (s *Service) showPNG(c *web.Ctx, x Certificate) error {
	body, err := picture(x)
	if err != nil {
		return err
	}
	c.Set(fiber.HeaderContentType, "image/png")
	c.Set(fiber.HeaderCacheControl, "no-store")
	return c.Send(body)
}

func (s *Service) file(kind string) func(c *web.Ctx, x Certificate) error {
	return func(c *web.Ctx, x Certificate) error { return s.SendFile(c, x, kind) }
}

// day is a moment's day in Berlin, ISO 8601.
func day(t time.Time) string { return clock.Day(t).Format(time.DateOnly) }
