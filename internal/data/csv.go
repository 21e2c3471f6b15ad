package data

import (
	"encoding/csv"
	"errors"
	"io"
	"math"
	"strings"

	"github.com/kiwerk/kiwerk/internal/server"
)

// csvTable reads CSV with a header line.
type csvTable struct {
	r     *csv.Reader
	names []string
	cells []cell
}

func newCSV(r io.Reader) (*csvTable, error) {
	t := &csvTable{r: csv.NewReader(r)}
	t.r.ReuseRecord = true
	header, err := t.r.Read()
	if errors.Is(err, io.EOF) {
		return nil, server.Invalid("the data set is empty; CSV needs a header line")
	}
	if err != nil {
		return nil, csvError(err)
	}
	for i, name := range header {
		if i == 0 {
			name = strings.TrimPrefix(name, "\ufeff") // spreadsheets write a byte order mark
		}
		t.names = append(t.names, name)
	}
	t.cells = make([]cell, len(t.names))
	return t, nil
}

// csvError tells faults of the text, which name their line, from faults of the reading.
func csvError(err error) error {
	var parse *csv.ParseError
	if errors.As(err, &parse) {
		return server.Invalid("the data are not valid CSV: %w", parse)
	}
	return err
}

func (t *csvTable) columns() []Column {
	columns := make([]Column, len(t.names))
	for i, n := range t.names {
		columns[i].Name = n
	}
	return columns
}

func (t *csvTable) next() ([]cell, error) {
	record, err := t.r.Read()
	if errors.Is(err, io.EOF) {
		return nil, io.EOF
	}
	if err != nil {
		return nil, csvError(err)
	}
	for i, s := range record {
		t.cells[i] = cell{null: s == "", text: s}
	}
	return t.cells, nil
}

// Frame is a table of numbers, by column. Empty cells are NaN.
type Frame struct {
	Names   []string
	Columns [][]float64
	// Labels is the column that was named, as text.
	Labels []string
}

// Rows is the number of rows.
func (f Frame) Rows() int {
	if len(f.Columns) == 0 {
		return len(f.Labels)
	}
	return len(f.Columns[0])
}

// Row returns row i.
func (f Frame) Row(i int) []float64 {
	row := make([]float64, len(f.Columns))
	for c := range f.Columns {
		row[c] = f.Columns[c][i]
	}
	return row
}

// ReadFrame reads at most maxRows rows of CSV. The column named label, if
// there is one, is not a number but the answer.
func ReadFrame(r io.Reader, label string, maxRows int) (Frame, error) {
	t, err := newCSV(r)
	if err != nil {
		return Frame{}, err
	}
	return readFrame(t, label, maxRows)
}

func readFrame(t table, label string, maxRows int) (Frame, error) {
	var f Frame
	columns := t.columns()
	if err := checkHeader(columns, nil); err != nil {
		return Frame{}, err
	}
	for _, c := range columns {
		if c.Name != label {
			f.Names = append(f.Names, c.Name)
		}
	}
	f.Columns = make([][]float64, len(f.Names))
	for rows := 1; ; rows++ {
		cells, err := t.next()
		if errors.Is(err, io.EOF) {
			return f, nil
		}
		if err != nil {
			return Frame{}, err
		}
		if rows > maxRows {
			return Frame{}, server.Invalid("the table has more than %d rows", maxRows)
		}
		if err := f.add(columns, cells, label, rows); err != nil {
			return Frame{}, err
		}
	}
}

// add appends a row.
func (f *Frame) add(columns []Column, cells []cell, label string, row int) error {
	k := 0
	for i, c := range cells {
		if columns[i].Name == label {
			f.Labels = append(f.Labels, c.plain())
			continue
		}
		v, ok := c.number()
		if c.null {
			v, ok = math.NaN(), true
		}
		if !ok {
			return server.Invalid("row %d, column %q: %s is not a number", row, columns[i].Name, c)
		}
		f.Columns[k] = append(f.Columns[k], v)
		k++
	}
	return nil
}

// plain is the value without quotes.
func (c cell) plain() string {
	if c.typed == Float || c.typed == Int {
		return c.String()
	}
	return c.text
}
