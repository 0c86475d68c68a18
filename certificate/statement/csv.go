package statement

import (
	"bytes"
	"encoding/csv"
	"encoding/hex"
	"fmt"
	"strconv"
	"time"
)

// columns are the head of the CSV.
var columns = []string{"statement", "log_index", "day", "kind", "item", "basis", "reason", "digest", "of_log_index", "billed_eur", "credited_eur"}

// CSV writes the lines of a statement as German spreadsheets open it without being
// asked: UTF-8 with its mark in front, semicolons, CR LF, amounts with a comma. Days are
// 2021-06-14, and no amount is negative: what is credited has a column of its own.
// What a spreadsheet would take for a formula is quoted with an apostrophe. Programs
// have the same in cents from the JSON operation.
func CSV(s Statement, lines []Line) []byte {
	var b bytes.Buffer
	b.WriteString("\ufeff")
	w := csv.NewWriter(&b)
	w.Comma, w.UseCRLF = ';', true
	_ = w.Write(columns) // a buffer takes everything
	for _, l := range lines {
		row := []string{s.No(), strconv.FormatInt(l.Index, 10), l.Day.Format(time.DateOnly), l.Kind, l.Item, l.Basis, l.Reason, hex.EncodeToString(l.Digest), "", euro(0), euro(0)}
		if l.Of != nil {
			row[8] = strconv.FormatInt(*l.Of, 10)
		}
		if l.Cents >= 0 {
			row[9] = euro(l.Cents)
		} else {
			row[10] = euro(-l.Cents)
		}
		for i := range row {
			row[i] = cell(row[i])
		}
		_ = w.Write(row)
	}
	w.Flush()
	return b.Bytes()
}

// cell keeps spreadsheets from running what a cell says.
func cell(v string) string {
	if v != "" && bytes.IndexByte([]byte("=+-@\t\r"), v[0]) >= 0 {
		return "'" + v
	}
	return v
}

func euro(cents int) string { return fmt.Sprintf("%d,%02d", cents/100, cents%100) }
