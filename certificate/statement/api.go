package statement

import (
	"encoding/hex"
	"net/http"
	"time"

	"impfportal/internal/web"
)

// StatementJSON is a statement. Amounts are cents of a euro.
type StatementJSON struct {
	ID        string    `json:"id"`
	Number    string    `json:"number"`
	Month     string    `json:"month" doc:"2021-06"`
	Issuer    string    `json:"issuer" doc:"pseudonym in the transparency log"`
	Ref       string    `json:"issuer_ref,omitempty"`
	Name      string    `json:"name"`
	Lines     int       `json:"lines"`
	Cents     int64     `json:"cents"`
	CSVSHA256 string    `json:"csv_sha256"`
	MadeAt    time.Time `json:"made_at"`
}

// LineJSON is a leaf on a statement.
type LineJSON struct {
	Index  int64  `json:"index" doc:"of the leaf in the transparency log"`
	Day    string `json:"day"`
	Kind   string `json:"kind" enum:"certificate,reissue,revocation"`
	Item   string `json:"item" enum:"given,seen,further,reissue,revocation,credit,held"`
	Basis  string `json:"basis,omitempty"`
	Reason string `json:"reason,omitempty"`
	Digest string `json:"digest"`
	Of     *int64 `json:"of_index,omitempty" doc:"credit: the leaf that was billed"`
	Cents  int    `json:"cents"`
}

// OneJSON is a statement with its lines.
type OneJSON struct {
	StatementJSON
	Entries []LineJSON `json:"entries"`
}

// ListJSON lists statements.
type ListJSON struct {
	Statements []StatementJSON `json:"statements"`
}

// MonthJSON is a settled month.
type MonthJSON struct {
	Month      string     `json:"month"`
	State      string     `json:"state" enum:"reading,making,done,expired"`
	From       int64      `json:"from_index"`
	Size       int64      `json:"log_size" doc:"of the checkpoint of the month's end; leaves from from_index, below it"`
	Checkpoint string     `json:"checkpoint"`
	Statements int        `json:"statements"`
	Lines      int64      `json:"lines"`
	Cents      int64      `json:"cents"`
	DoneAt     *time.Time `json:"done_at"`
}

// MonthsJSON lists months, and the statements of the one asked for.
type MonthsJSON struct {
	Months     []MonthJSON     `json:"months"`
	Statements []StatementJSON `json:"statements"`
}

// RateJSON is a row of the tariff.
type RateJSON struct {
	IssuerKind string `json:"issuer_kind" doc:"empty: every kind that has no row of its own"`
	Item       string `json:"item" enum:"given,seen,further"`
	From       string `json:"from"`
	Cents      int    `json:"cents"`
	Source     string `json:"source"`
}

// TariffJSON is the tariff.
type TariffJSON struct {
	Rates []RateJSON `json:"rates"`
}

func statementJSON(s Statement) StatementJSON {
	return StatementJSON{s.ID, s.No(), s.Month.Format("2006-01"), s.Issuer, s.Ref, s.Name, s.Lines, s.Cents, hex.EncodeToString(s.CSVSHA256), s.MadeAt}
}

func statementsJSON(list []Statement) []StatementJSON {
	out := make([]StatementJSON, len(list))
	for i, s := range list {
		out[i] = statementJSON(s)
	}
	return out
}

func (s *Service) apiOwn(c *web.Ctx, _ struct{}) (ListJSON, error) {
	r, err := ref(c)
	if err != nil {
		return ListJSON{}, err
	}
	list, err := Of(c.Std(), s.Pool, r)
	return ListJSON{statementsJSON(list)}, err
}

type idIn struct {
	ID string `json:"-" path:"id"`
}

func (s *Service) apiOwnOne(c *web.Ctx, in idIn) (OneJSON, error) {
	r, err := ref(c)
	if err != nil {
		return OneJSON{}, err
	}
	return s.one(c, in.ID, r)
}

func (s *Service) apiOne(c *web.Ctx, in idIn) (OneJSON, error) { return s.one(c, in.ID, "") }

func (s *Service) one(c *web.Ctx, statementID, ref string) (OneJSON, error) {
	st, err := s.find(c, statementID, ref)
	if err != nil {
		return OneJSON{}, err
	}
	lines, err := s.Lines(c.Std(), st)
	out := OneJSON{StatementJSON: statementJSON(st), Entries: make([]LineJSON, len(lines))}
	for i, l := range lines {
		out.Entries[i] = LineJSON{l.Index, l.Day.Format(time.DateOnly), l.Kind, l.Item, l.Basis, l.Reason, hex.EncodeToString(l.Digest), l.Of, l.Cents}
	}
	return out, err
}

type monthsIn struct {
	Month string `query:"month" json:"-" doc:"2021-06: its statements, at most 200"`
	Q     string `query:"q" json:"-" doc:"part of an issuer's name, or its pseudonym"`
}

func (s *Service) apiMonths(c *web.Ctx, in monthsIn) (MonthsJSON, error) {
	out := MonthsJSON{Months: []MonthJSON{}, Statements: []StatementJSON{}}
	list, err := Months(c.Std(), s.Pool)
	if err != nil {
		return out, err
	}
	for _, m := range list {
		out.Months = append(out.Months, MonthJSON{m.Key(), m.State, m.From, m.Size, string(m.Note), m.Statements, m.Lines, m.Cents, m.DoneAt})
	}
	if in.Month == "" {
		return out, nil
	}
	month := monthIn(in.Month)
	if month.IsZero() {
		return out, web.Fail(http.StatusBadRequest, "statement.error.month")
	}
	found, err := OfMonth(c.Std(), s.Pool, month, in.Q)
	out.Statements = statementsJSON(found)
	return out, err
}

func (s *Service) apiTariff(c *web.Ctx, _ struct{}) (TariffJSON, error) {
	out := TariffJSON{Rates: []RateJSON{}}
	list, err := Rates(c.Std(), s.Pool)
	for _, r := range list {
		out.Rates = append(out.Rates, RateJSON{r.IssuerKind, r.Item, r.From.Format(time.DateOnly), r.Cents, r.Source})
	}
	return out, err
}
