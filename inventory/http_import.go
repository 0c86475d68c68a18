package inventory

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"impfportal/internal/jobs"
	"impfportal/internal/web"
)

type importPage struct {
	Names *names
	Runs  []ImportRun
	Rest  []Rest
	Sum   int
	Lines ImportErrors // of the file that was refused
}

func (s *Service) imports(c *web.Ctx) (importPage, error) {
	n, err := s.names(c)
	if err != nil {
		return importPage{}, err
	}
	d := importPage{Names: n}
	if d.Runs, err = ImportRuns(c.Std(), s.pool, 10); err != nil {
		return d, err
	}
	if d.Rest, err = Unreconciled(c.Std(), s.pool); err != nil {
		return d, err
	}
	for _, r := range d.Rest {
		d.Sum += r.Rest
	}
	return d, nil
}

func (s *Service) importPage(c *web.Ctx) error {
	d, err := s.imports(c)
	if err != nil {
		return err
	}
	return c.Page("inventory/import", d)
}

// importTimeout bounds an import that goes on after its request was answered.
const importTimeout = 5 * time.Minute

// importUpload checks the file at once and imports it while the page shows how
// far it is.
func (s *Service) importUpload(c *web.Ctx) error {
	d, err := s.imports(c)
	if err != nil {
		return err
	}
	f := c.Form()
	var rows []reportRow
	if fh, err := c.FormFile("file"); err != nil || fh.Size == 0 {
		f.Fail("file", "inventory.error.file")
	} else {
		file, err := fh.Open()
		if err != nil {
			return err
		}
		defer func() { _ = file.Close() }()
		rows, err = parseReport(file)
		if errors.As(err, &d.Lines) {
			f.Fail("file", "inventory.error.lines", "Count", len(d.Lines))
		} else if err != nil {
			return err
		}
	}
	if !f.OK() {
		return c.PageForm("inventory/import", f, d)
	}
	actor, t := c.Actor(), c.T
	p, err := jobs.StartProgress(c.Std(), s.pool, t("inventory.import.title"), int64(len(rows)), actor)
	if err != nil {
		return err
	}
	done := t("inventory.import.done") // the request is over when it is needed
	lines := map[string]string{errLineReturn: t("inventory.import.error." + errLineReturn)}
	s.background.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), importTimeout)
		defer cancel()
		_, err := s.importRows(ctx, rows, actor, p)
		var bad ImportErrors
		switch {
		case errors.As(err, &bad):
			err = errors.New(lineWords(bad, lines))
		case err != nil:
			s.log.Error("import of deliveries failed", "progress", p.ID, "error", err)
			err = errInternal
		default:
			p.Step(ctx, int64(len(rows)), done)
		}
		p.Finish(ctx, err)
	})
	return c.SeeProgress(p.ID, "/admin/deliveries/import")
}

// errInternal stands on the progress page; what it was stands in the log.
var errInternal = errors.New("internal error, see the log")

func lineWords(bad ImportErrors, words map[string]string) string {
	out := make([]string, len(bad))
	for i, l := range bad {
		out[i] = strconv.Itoa(l.Line) + ": " + words[l.Key] + " (" + l.Value + ")"
	}
	return strings.Join(out, "; ")
}
