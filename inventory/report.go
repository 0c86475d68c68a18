package inventory

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Bounds of a delivery report; the real one has 266 rows.
const (
	maxReportBytes = 4 << 20
	maxReportRows  = 20_000
	maxRowDoses    = 10_000_000
	maxLineErrors  = 20 // more than that nobody reads
)

// reportRow is one line of the ministry's table.
type reportRow struct {
	line    int
	day     time.Time
	vaccine string
	doses   int // negative = given back
}

// LineError is one malformed line of a delivery report.
type LineError struct {
	Line  int    `json:"line"`  // 1 = the header
	Key   string `json:"key"`   // what is wrong: see the constants errLine...
	Value string `json:"value"` // what stood there, shortened
}

// What can be wrong with a line; also the end of the words' i18n key
// "inventory.import.error.<key>".
const (
	errLineHeader    = "header"
	errLineFields    = "fields"
	errLineQuotes    = "quotes"
	errLineEncoding  = "encoding"
	errLineDate      = "date"
	errLineVaccine   = "vaccine"
	errLineDoses     = "doses"
	errLineDuplicate = "duplicate"
	errLineTooLong   = "too-long"
	errLineEmpty     = "empty"
	errLineReturn    = "not-enough"
)

var lineErrorText = map[string]string{
	errLineHeader:    `the first line must be "date,vaccine,doses"`,
	errLineFields:    "three fields are needed: date, vaccine, doses",
	errLineQuotes:    "the quotation marks do not match",
	errLineEncoding:  "not UTF-8 text",
	errLineDate:      "not a date like 2021-01-08",
	errLineVaccine:   "not the name of a vaccine",
	errLineDoses:     "not a whole number of doses",
	errLineDuplicate: "date and vaccine occur twice",
	errLineTooLong:   "the file is too long",
	errLineEmpty:     "the file has no rows",
	errLineReturn:    "the central store does not hold that many vials any more",
}

func (e LineError) Error() string {
	if e.Value == "" {
		return fmt.Sprintf("line %d: %s", e.Line, lineErrorText[e.Key])
	}
	return fmt.Sprintf("line %d: %s: %q", e.Line, lineErrorText[e.Key], e.Value)
}

// ImportErrors are the lines that keep a report from being imported. Nothing of
// it was stored.
type ImportErrors []LineError

func (e ImportErrors) Error() string {
	lines := make([]string, len(e))
	for i, l := range e {
		lines[i] = l.Error()
	}
	return strings.Join(lines, "\n")
}

var (
	dayPattern   = regexp.MustCompile(`^\d{4}-\d{2}-\d{2}$`)
	dosesPattern = regexp.MustCompile(`^-?\d{1,9}$`)
)

// parseReport reads a whole report. The error is ImportErrors, or what reading
// r gave. Order of the rows is free; date and vaccine are the key and may occur
// once.
func parseReport(r io.Reader) ([]reportRow, error) {
	raw, err := io.ReadAll(io.LimitReader(r, maxReportBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read report: %w", err)
	}
	if len(raw) > maxReportBytes {
		return nil, ImportErrors{{Line: 1, Key: errLineTooLong}}
	}
	raw = bytes.TrimPrefix(raw, []byte("\xef\xbb\xbf")) // spreadsheets write a byte order mark
	if !utf8.Valid(raw) {
		return nil, ImportErrors{{Line: firstInvalidLine(raw), Key: errLineEncoding}}
	}
	cr := csv.NewReader(bytes.NewReader(raw))
	cr.FieldsPerRecord = -1
	cr.TrimLeadingSpace = true

	var (
		rows []reportRow
		bad  ImportErrors
		seen = map[string]int{}
	)
	header := true
	for len(bad) < maxLineErrors {
		rec, err := cr.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		var pe *csv.ParseError
		if errors.As(err, &pe) {
			return nil, append(bad, LineError{Line: pe.Line, Key: errLineQuotes}) // what follows cannot be trusted
		}
		if err != nil {
			return nil, fmt.Errorf("read report: %w", err)
		}
		line, _ := cr.FieldPos(0)
		for i := range rec {
			rec[i] = strings.TrimSpace(rec[i])
		}
		if header {
			header = false
			if len(rec) != 3 || !strings.EqualFold(strings.Join(rec, ","), "date,vaccine,doses") {
				return nil, ImportErrors{{Line: line, Key: errLineHeader, Value: shorten(strings.Join(rec, ","))}}
			}
			continue
		}
		if len(rows) >= maxReportRows {
			return nil, append(bad, LineError{Line: line, Key: errLineTooLong})
		}
		row, le := parseRow(line, rec)
		if le != nil {
			bad = append(bad, *le)
			continue
		}
		key := row.day.Format(time.DateOnly) + " " + row.vaccine
		if _, twice := seen[key]; twice {
			bad = append(bad, LineError{Line: line, Key: errLineDuplicate, Value: fmt.Sprintf("%s (%d)", key, seen[key])})
			continue
		}
		seen[key] = line
		rows = append(rows, row)
	}
	if len(bad) > 0 {
		return nil, bad
	}
	if header {
		return nil, ImportErrors{{Line: 1, Key: errLineHeader}}
	}
	if len(rows) == 0 {
		return nil, ImportErrors{{Line: 1, Key: errLineEmpty}}
	}
	return rows, nil
}

func parseRow(line int, rec []string) (reportRow, *LineError) {
	if len(rec) != 3 {
		return reportRow{}, &LineError{Line: line, Key: errLineFields, Value: shorten(strings.Join(rec, ","))}
	}
	day, err := time.Parse(time.DateOnly, rec[0])
	if err != nil || !dayPattern.MatchString(rec[0]) || day.Year() < 2000 || day.Year() > 2199 {
		return reportRow{}, &LineError{Line: line, Key: errLineDate, Value: shorten(rec[0])}
	}
	if rec[1] == "" || utf8.RuneCountInString(rec[1]) > 60 || strings.ContainsFunc(rec[1], unicode.IsControl) {
		return reportRow{}, &LineError{Line: line, Key: errLineVaccine, Value: shorten(rec[1])}
	}
	doses, err := strconv.Atoi(rec[2])
	if err != nil || !dosesPattern.MatchString(rec[2]) || doses > maxRowDoses || doses < -maxRowDoses {
		return reportRow{}, &LineError{Line: line, Key: errLineDoses, Value: shorten(rec[2])}
	}
	return reportRow{line: line, day: day, vaccine: rec[1], doses: doses}, nil
}

func firstInvalidLine(raw []byte) int {
	sc := bufio.NewScanner(bytes.NewReader(raw))
	sc.Buffer(nil, len(raw)+1)
	for line := 1; sc.Scan(); line++ {
		if !utf8.Valid(sc.Bytes()) {
			return line
		}
	}
	return 1
}

// shorten keeps an error message readable whatever stood in the file.
func shorten(s string) string {
	r := []rune(s)
	if len(r) > 60 {
		return string(r[:59]) + "…"
	}
	return s
}

// reportNames maps the names of the ministry's report to products. A vaccine
// that is not here is listed and left out.
var reportNames = map[string]string{
	"Pfizer/BioNTech":    "comirnaty",
	"Comirnaty":          "comirnaty",
	"Moderna":            "spikevax",
	"Spikevax":           "spikevax",
	"Oxford/AstraZeneca": "vaxzevria",
	"Vaxzevria":          "vaxzevria",
	"Johnson & Johnson":  "janssen",
	"Janssen":            "janssen",
	"Jcovden":            "janssen",
	"Novavax":            "nuvaxovid",
	"Nuvaxovid":          "nuvaxovid",
}

// trayVials is how many vials of Comirnaty lie in a tray, the unit in which it
// is delivered.
const trayVials = 195

// The days between which the report went over from five to six doses per vial
// of Comirnaty, and the day on which the label of the sixth dose came into use
// in Germany.
var (
	lastReportedAtFive = time.Date(2021, 1, 8, 0, 0, 0, 0, time.UTC)
	firstReportedAtSix = time.Date(2021, 1, 19, 0, 0, 0, 0, time.UTC)
	sixthDoseInUse     = time.Date(2021, 1, 15, 0, 0, 0, 0, time.UTC)
)

// ReportedPerVial returns how many doses per vial the ministry counted with
// when it reported a delivery. This is a fact about the report, not the rule by
// which vials are used (see SetDosesPerVial): the report of a past day does not
// change when the rule does.
//
// Comirnaty: 5 until 8 January 2021 and 6 from 19 January 2021, as the trays in
// the report show. Between these days the report itself must tell: Comirnaty
// comes in trays of 195 vials, so a figure that is whole trays at five doses
// (975) but not at six (1,170) was counted at five, and the reverse at six.
// Where both or neither fit, the figure was counted by the label in use on its
// day: six from 15 January 2021.
//
// 0 = the report's counting for that product is not known.
func ReportedPerVial(productID string, day time.Time, doses int) int {
	switch productID {
	case "comirnaty":
		switch {
		case !day.After(lastReportedAtFive):
			return 5
		case !day.Before(firstReportedAtSix):
			return 6
		}
		five, six := doses%(trayVials*5) == 0, doses%(trayVials*6) == 0
		if five != six {
			if five {
				return 5
			}
			return 6
		}
		if day.Before(sixthDoseInUse) {
			return 5
		}
		return 6
	case "spikevax", "vaxzevria", "nuvaxovid":
		return 10
	case "janssen":
		return 5
	}
	return 0
}
