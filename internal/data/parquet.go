package data

import (
	"errors"
	"fmt"
	"io"

	"github.com/parquet-go/parquet-go"

	"github.com/kiwerk/kiwerk/internal/server"
)

// parquetTable reads flat Parquet files.
type parquetTable struct {
	cols   []Column
	groups []parquet.RowGroup
	rows   parquet.Rows
	buffer []parquet.Row
	queue  []parquet.Row
	cells  []cell
}

const parquetBatch = 128

// newParquet reads the footer. The library panics on some damaged files, which
// here is one more way to say that the bytes are not valid.
func newParquet(r io.ReaderAt, size int64) (t *parquetTable, err error) {
	defer recoverParquet(&err)
	if err := checkFooter(r, size); err != nil {
		return nil, server.Invalid("the data are not valid Parquet: %w", err)
	}
	file, err := parquet.OpenFile(r, size, parquet.SkipBloomFilters(true), parquet.SkipPageIndex(true))
	if err != nil {
		return nil, server.Invalid("the data are not valid Parquet: %w", err)
	}
	if err := checkPages(file, r, size); err != nil {
		return nil, server.Invalid("the data are not valid Parquet: %w", err)
	}
	t = &parquetTable{groups: file.RowGroups(), buffer: make([]parquet.Row, parquetBatch)}
	for _, field := range file.Schema().Fields() {
		if !field.Leaf() || field.Repeated() {
			return nil, server.Invalid("Parquet column %q is nested or repeated; a data set is a flat table", field.Name())
		}
		typ, ok := parquetType(field.Type().Kind())
		if !ok {
			return nil, server.Invalid("Parquet column %q has the type %s, which is not supported", field.Name(), field.Type())
		}
		t.cols = append(t.cols, Column{Name: field.Name(), Type: typ})
	}
	t.cells = make([]cell, len(t.cols))
	return t, nil
}

func recoverParquet(err *error) {
	if p := recover(); p != nil {
		*err = server.Invalid("the data are not valid Parquet: %v", p)
	}
}

func parquetType(k parquet.Kind) (Type, bool) {
	switch k {
	case parquet.Boolean:
		return Bool, true
	case parquet.Int32, parquet.Int64:
		return Int, true
	case parquet.Float, parquet.Double:
		return Float, true
	case parquet.ByteArray, parquet.FixedLenByteArray:
		return String, true
	case parquet.Int96:
	}
	return "", false
}

func (t *parquetTable) columns() []Column { return append([]Column(nil), t.cols...) }

func (t *parquetTable) next() (cells []cell, err error) {
	defer recoverParquet(&err)
	if len(t.queue) == 0 {
		if err := t.fill(); err != nil {
			return nil, err
		}
	}
	row := t.queue[0]
	t.queue = t.queue[1:]
	for i := range t.cells {
		t.cells[i] = cell{null: true}
	}
	for _, v := range row {
		i := v.Column()
		if i < 0 || i >= len(t.cells) {
			return nil, server.Invalid("the data are not valid Parquet: a value belongs to column %d of %d", i, len(t.cells))
		}
		t.cells[i] = t.cell(i, v)
	}
	return t.cells, nil
}

func (t *parquetTable) cell(i int, v parquet.Value) cell {
	if v.IsNull() {
		return cell{null: true}
	}
	c := cell{typed: t.cols[i].Type}
	switch v.Kind() {
	case parquet.Boolean:
		c.text = fmt.Sprint(v.Boolean())
	case parquet.Int32:
		c.num = float64(v.Int32())
	case parquet.Int64:
		c.num = float64(v.Int64())
	case parquet.Float:
		c.num = float64(v.Float())
	case parquet.Double:
		c.num = v.Double()
	case parquet.ByteArray, parquet.FixedLenByteArray:
		c.text = string(v.ByteArray())
	case parquet.Int96:
	}
	return c
}

// fill reads the next rows, going on to the next row group at the end of one.
func (t *parquetTable) fill() error {
	for {
		if t.rows == nil {
			if len(t.groups) == 0 {
				return io.EOF
			}
			t.rows, t.groups = t.groups[0].Rows(), t.groups[1:]
		}
		for i := range t.buffer {
			t.buffer[i] = t.buffer[i][:0] // rows are appended to
		}
		n, err := t.rows.ReadRows(t.buffer)
		if n > 0 {
			t.queue = t.buffer[:n]
			return nil
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return server.Invalid("the data are not valid Parquet: %w", err)
		}
		if closeErr := t.rows.Close(); closeErr != nil {
			return closeErr
		}
		t.rows = nil
	}
}
