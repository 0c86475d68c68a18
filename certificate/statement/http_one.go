package statement

import (
	"strconv"

	"golang.org/x/mod/sumdb/tlog"

	"impfportal/certificate/translog"
	"impfportal/internal/web"
)

// linesMost is how many lines one page shows.
const linesMost = 100

// oneView is a statement with its lines.
type oneView struct {
	Statement
	Base   string // address of the list it stands in
	Sums   []sum
	Rows   []Line // those of this page
	From   int    // the first of them, from 0
	Before *int   // where the page before begins
	After  *int
	Leaf   *leafView // asked for
}

// leafView is a leaf with its proof, checked by the page as an outsider would.
type leafView struct {
	Index  int64
	Text   string
	Size   int64 // of the log at the month's end
	Root   tlog.Hash
	Proof  []tlog.Hash
	Proven bool
}

func (s *Service) ownOne(c *web.Ctx) error {
	r, err := ref(c)
	if err != nil {
		return err
	}
	return s.showOne(c, "/issuer/statements", r)
}

func (s *Service) adminOne(c *web.Ctx) error { return s.showOne(c, "/admin/statements", "") }

// showOne shows a statement; ?from= is the first line, ?leaf= the leaf that is proven.
func (s *Service) showOne(c *web.Ctx, base, ref string) error {
	st, err := s.find(c, c.Params("id"), ref)
	if err != nil {
		return err
	}
	lines, err := s.Lines(c.Std(), st)
	if err != nil {
		return err
	}
	v := oneView{Statement: st, Base: base, Sums: sums(lines), From: min(max(c.QueryInt("from"), 0), len(lines))}
	upto := min(v.From+linesMost, len(lines))
	v.Rows = lines[v.From:upto]
	if v.From > 0 {
		before := max(v.From-linesMost, 0)
		v.Before = &before
	}
	if upto < len(lines) {
		v.After = &upto
	}
	if asked := c.Query("leaf"); asked != "" {
		if v.Leaf, err = s.leaf(c, st, lines, asked); err != nil {
			return err
		}
	}
	return c.Page("statement/one", v)
}

// leaf proves one leaf of a statement.
func (s *Service) leaf(c *web.Ctx, st Statement, lines []Line, asked string) (*leafView, error) {
	index, err := strconv.ParseInt(asked, 10, 64)
	there := false
	for _, l := range lines {
		there = there || l.Index == index
	}
	if err != nil || !there {
		return nil, web.NotFound()
	}
	m, err := s.month(c.Std(), st)
	if err != nil {
		return nil, err
	}
	entries, err := translog.At(c.Std(), s.Pool, []int64{index})
	if err != nil {
		return nil, err
	}
	if len(entries) != 1 {
		return nil, ErrChanged
	}
	v := &leafView{Index: index, Text: string(entries[0].Data), Size: m.Size}
	copy(v.Root[:], m.Root)
	if v.Proof, err = translog.Inclusion(c.Std(), s.Pool, index, m.Size); err != nil {
		return nil, err
	}
	v.Proven = tlog.CheckRecord(v.Proof, v.Size, v.Root, index, entries[0].Hash()) == nil
	return v, nil
}

// Text says what a line is, in words.
func (l Line) Text(lang string) string {
	what := say(lang, "line."+l.Item)
	if l.Of != nil {
		what += " " + strconv.FormatInt(*l.Of, 10)
	}
	if l.Reason != "" {
		what += " (" + reason(lang, l.Reason) + ")"
	}
	return what
}

// Money is what the line is worth as people read it.
func (l Line) Money(lang string) string { return money(lang, int64(l.Cents)) }

// Each is the price of one as people read it.
func (s sum) Each(lang string) string { return money(lang, int64(s.Cents)) }

// Money is what they are worth together as people read it.
func (s sum) Money(lang string) string { return money(lang, s.Total()) }
