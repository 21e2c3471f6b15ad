package cli

import (
	"encoding/csv"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/kiwerk/kiwerk/internal/text"
)

// tabular are the formats of lists; wide is a table with more columns.
var tabular = []string{"table", "wide", "json", "yaml", "csv", "parquet"}

// record is a row of a list as programs read it: a string, a float64, an int64 or a time.Time by column.
type record map[string]any

// recorder is a list that can be written as CSV or Parquet. The first columns have an order, the others are sorted.
type recorder interface {
	Tabler
	wide(w io.Writer, p *text.Printer)
	records() (first []string, rows []record)
}

// printList writes a list in any format of tabular.
func (t *tree) printList(v recorder) error {
	switch t.output {
	case "wide":
		v.wide(t.program.Out, t.session.Text)
		return nil
	case "csv":
		return writeCSV(t.program.Out, v)
	case "parquet":
		if isTerminal(t.program.Out) {
			return usage(text.S(text.UsageParquet), "kiwerk … -o parquet > FILE")
		}
		return writeParquet(t.program.Out, v)
	}
	return t.print(v)
}

func columnsOf(first []string, rows []record) []string {
	more := map[string]bool{}
	for _, r := range rows {
		for k := range r {
			more[k] = true
		}
	}
	for _, k := range first {
		delete(more, k)
	}
	return append(slices.Clone(first), slices.Sorted(maps.Keys(more))...)
}

func writeCSV(w io.Writer, v recorder) error {
	first, rows := v.records()
	names := columnsOf(first, rows)
	out := csv.NewWriter(w)
	if err := out.Write(names); err != nil {
		return err
	}
	line := make([]string, len(names))
	for _, r := range rows {
		for i, n := range names {
			line[i] = cell(r[n])
		}
		if err := out.Write(line); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

func cell(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	case int64:
		return strconv.FormatInt(v, 10)
	case time.Time:
		return v.UTC().Format("2006-01-02T15:04:05.000Z07:00")
	}
	return ""
}

// writeParquet writes columns of the type of their first value; all may be missing.
func writeParquet(w io.Writer, v recorder) error {
	first, rows := v.records()
	group := parquet.Group{}
	for _, name := range columnsOf(first, rows) {
		node := parquet.String()
		if slices.Contains(moments, name) {
			node = parquet.Timestamp(parquet.Millisecond)
		}
		for _, r := range rows {
			if _, there := r[name]; there {
				node = nodeOf(r[name])
				break
			}
		}
		group[name] = parquet.Compressed(parquet.Optional(node), &parquet.Zstd)
	}
	schema := parquet.NewSchema("kiwerk", group)
	out := parquet.NewGenericWriter[any](w, schema, parquet.CreatedBy("kiwerk", "", ""))
	var names []string
	for _, path := range schema.Columns() {
		names = append(names, path[0])
	}
	for chunk := range slices.Chunk(rows, 1000) {
		values := make([]parquet.Row, len(chunk))
		for i, r := range chunk {
			for column, name := range names {
				values[i] = append(values[i], valueOf(r[name], column))
			}
		}
		if _, err := out.WriteRows(values); err != nil {
			return err
		}
	}
	return out.Close()
}

// moments are columns of times even where no row has one.
var moments = []string{"start_time", "end_time", "created", "updated"}

func nodeOf(v any) parquet.Node {
	switch v.(type) {
	case float64:
		return parquet.Leaf(parquet.DoubleType)
	case int64:
		return parquet.Leaf(parquet.Int64Type)
	case time.Time:
		return parquet.Timestamp(parquet.Millisecond)
	}
	return parquet.String()
}

func valueOf(v any, column int) parquet.Value {
	var out parquet.Value
	switch v := v.(type) {
	case string:
		out = parquet.ByteArrayValue([]byte(v))
	case float64:
		out = parquet.DoubleValue(v)
	case int64:
		out = parquet.Int64Value(v)
	case time.Time:
		out = parquet.Int64Value(v.UnixMilli())
	default:
		return parquet.NullValue().Level(0, 0, column)
	}
	return out.Level(0, 1, column)
}

// number is a metric with as many digits as people read.
func number(v float64) string {
	if v == math.Trunc(v) && math.Abs(v) < 1e15 {
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return strconv.FormatFloat(v, 'g', 6, 64)
}
