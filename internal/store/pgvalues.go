package store

import (
	"database/sql"
	"encoding/binary"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
)

// encode writes arguments as the types that the statement wants. The two
// databases differ in booleans, which are 0 and 1 here, and in nothing else.
func (s *pgSession) encode(oids []uint32, args []any) (values [][]byte, formats []int16, err error) {
	values, formats = make([][]byte, len(args)), make([]int16, len(args))
	if s.buf = s.buf[:0]; s.buf == nil {
		s.buf = []byte{} // nil would be NULL where nothing is appended
	}
	for i, a := range args {
		formats[i] = pgtype.BinaryFormatCode
		from := len(s.buf)
		switch v := plainValue(a, oids[i]).(type) {
		case nil:
			continue
		case string:
			if oids[i] != pgtype.TextOID && oids[i] != pgtype.VarcharOID {
				return nil, nil, fmt.Errorf("%w: argument %d is a text where PostgreSQL wants type %d", ErrValue, i+1, oids[i])
			}
			s.buf = append(s.buf, v...)
		case int64:
			if oids[i] == pgtype.Int8OID {
				s.buf = binary.BigEndian.AppendUint64(s.buf, uint64(v)) //nolint:gosec // The same bits.
			} else if s.buf, err = s.types.Encode(oids[i], pgtype.BinaryFormatCode, v, s.buf); err != nil {
				return nil, nil, fmt.Errorf("%w: argument %d: %w", ErrValue, i+1, err)
			}
		default:
			formats[i] = s.types.FormatCodeForOID(oids[i])
			buf, err := s.types.Encode(oids[i], formats[i], v, s.buf)
			if err != nil {
				return nil, nil, fmt.Errorf("%w: argument %d: %w", ErrValue, i+1, err)
			}
			if buf == nil {
				continue // NULL
			}
			s.buf = buf
		}
		values[i] = s.buf[from:len(s.buf):len(s.buf)] // stays whole when the buffer moves
		if values[i] == nil {
			values[i] = []byte{}
		}
	}
	return values, formats, nil
}

// plainValue makes one of the few types that databases have.
func plainValue(a any, oid uint32) any {
	switch v := a.(type) {
	case nil, string, []byte:
		return a
	case []int64:
		return append([]int64{}, v...) // no list is an empty one, not NULL
	case []float64:
		return append([]float64{}, v...)
	case []string:
		return append([]string{}, v...)
	case int64:
		if oid == pgtype.BoolOID {
			return v != 0
		}
		return v
	case bool:
		if oid == pgtype.BoolOID {
			return v
		}
		if v {
			return int64(1)
		}
		return int64(0)
	}
	v := reflect.ValueOf(a)
	switch v.Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return plainValue(v.Int(), oid)
	case reflect.Uint8, reflect.Uint16, reflect.Uint32:
		return plainValue(int64(v.Uint()), oid) //nolint:gosec // At most 32 bits.
	case reflect.String:
		return v.String()
	case reflect.Bool:
		return plainValue(v.Bool(), oid)
	case reflect.Pointer:
		if v.IsNil() {
			return nil
		}
		return plainValue(v.Elem().Interface(), oid)
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return v.Bytes()
		}
	default:
	}
	return a
}

// pgRows are the rows of an answer, read from the connection or, when another
// statement needed it meanwhile, from memory.
type pgRows struct {
	s        *pgSession
	st       *pgStatement
	result   *pgconn.ResultReader
	pipeline *pgconn.Pipeline
	// next are the rows behind these in the pipeline.
	next *pgRows

	values [][]byte
	kept   [][][]byte
	ended  bool
	tag    pgconn.CommandTag
	err    error
}

func (r *pgRows) Next() bool {
	if r.ended {
		if len(r.kept) == 0 {
			return false
		}
		r.values, r.kept = r.kept[0], r.kept[1:]
		return true
	}
	if r.result.NextRow() {
		r.values = r.result.Values()
		return true
	}
	r.end()
	return false
}

// keep reads the rest, and what lies behind it, into memory, so that the connection is free.
func (r *pgRows) keep() {
	if r.ended {
		return
	}
	r.values = copyValues(r.values)
	for r.result.NextRow() {
		r.kept = append(r.kept, copyValues(r.result.Values()))
	}
	r.end()
	if r.next != nil {
		r.next.keep()
	}
}

func copyValues(values [][]byte) [][]byte {
	out := make([][]byte, len(values))
	for i, v := range values {
		out[i] = slices.Clone(v)
	}
	return out
}

func (r *pgRows) end() {
	r.ended = true
	r.s.active = nil
	r.tag, r.err = r.result.Close()
	if r.next != nil && r.err == nil {
		if r.next.result, r.err = nextResult(r.pipeline); r.err == nil {
			r.s.active = r.next
			return
		}
	}
	for n := r.next; n != nil; n = n.next {
		n.ended, n.err = true, r.err
	}
	if r.pipeline != nil {
		if err := r.pipeline.Close(); r.err == nil {
			r.err = err
		}
	}
	if r.err != nil {
		r.err = r.s.broken(r.err)
	}
}

func (r *pgRows) Err() error { return r.err }

func (r *pgRows) Close() error {
	if !r.ended {
		r.end()
	}
	r.kept = nil
	return r.err
}

// Scan copies the row into dest, with the conversions of database/sql.
func (r *pgRows) Scan(dest ...any) error {
	if len(dest) != len(r.values) {
		return fmt.Errorf("store: %d destinations for %d columns", len(dest), len(r.values))
	}
	for i, d := range dest {
		f := &r.st.Fields[i]
		if err := r.scan(f, r.st.results[i], r.values[i], d); err != nil {
			return fmt.Errorf("store: column %d (%s): %w", i+1, f.Name, err)
		}
	}
	return nil
}

func (r *pgRows) scan(f *pgconn.FieldDescription, format int16, raw []byte, dest any) error {
	if raw != nil { // the usual ones, without allocations
		switch d := dest.(type) {
		case *int64:
			if f.DataTypeOID == pgtype.Int8OID {
				*d = int64(binary.BigEndian.Uint64(raw)) //nolint:gosec // The same bits.
				return nil
			}
		case *string:
			if f.DataTypeOID == pgtype.TextOID {
				*d = string(raw)
				return nil
			}
		case *float64:
			if f.DataTypeOID == pgtype.Float8OID {
				*d = math.Float64frombits(binary.BigEndian.Uint64(raw))
				return nil
			}
		}
	}
	v, err := r.decode(f.DataTypeOID, format, raw)
	if err != nil {
		return err
	}
	return assign(dest, v)
}

// decode makes an int64, float64, bool, string, []byte or nil of a column.
func (r *pgRows) decode(oid uint32, format int16, raw []byte) (any, error) {
	if raw == nil {
		return nil, nil //nolint:nilnil // NULL is a value.
	}
	switch oid {
	case pgtype.Int8OID:
		return int64(binary.BigEndian.Uint64(raw)), nil //nolint:gosec // The same bits.
	case pgtype.Int4OID:
		return int64(int32(binary.BigEndian.Uint32(raw))), nil //nolint:gosec // The same bits.
	case pgtype.Int2OID:
		return int64(int16(binary.BigEndian.Uint16(raw))), nil //nolint:gosec // The same bits.
	case pgtype.Float8OID:
		return math.Float64frombits(binary.BigEndian.Uint64(raw)), nil
	case pgtype.BoolOID:
		return raw[0] != 0, nil
	case pgtype.ByteaOID:
		return slices.Clone(raw), nil
	case pgtype.NumericOID: // sums of whole numbers, and averages
		var n pgtype.Numeric
		if err := r.s.types.Scan(oid, format, raw, &n); err != nil {
			return nil, err
		}
		if whole, err := n.Int64Value(); err == nil {
			return whole.Int64, nil
		}
		f, err := n.Float64Value()
		return f.Float64, err
	default:
		return string(raw), nil
	}
}

// assign is what database/sql does with a value of a driver.
func assign(dest, v any) error {
	switch d := dest.(type) {
	case sql.Scanner:
		return d.Scan(v)
	case *any:
		*d = v
		return nil
	case *[]byte:
		return assignBytes(d, v)
	}
	p := reflect.ValueOf(dest)
	if p.Kind() != reflect.Pointer || p.IsNil() {
		return fmt.Errorf("cannot scan into %T", dest)
	}
	to := p.Elem()
	if to.Kind() == reflect.Pointer {
		if v == nil {
			to.SetZero()
			return nil
		}
		to.Set(reflect.New(to.Type().Elem()))
		return assign(to.Interface(), v)
	}
	if v == nil {
		return fmt.Errorf("NULL does not fit into %T", dest)
	}
	return assignKind(to, v)
}

func assignBytes(d *[]byte, v any) error {
	switch b := v.(type) {
	case nil:
		*d = nil
	case []byte:
		*d = b
	case string:
		*d = []byte(b)
	default:
		*d = []byte(fmt.Sprint(v))
	}
	return nil
}

func assignKind(to reflect.Value, v any) error {
	text := ""
	switch x := v.(type) {
	case string:
		text = x
	case []byte:
		text = string(x)
	case bool:
		text = strconv.FormatBool(x)
		if to.Kind() != reflect.Bool && to.Kind() != reflect.String {
			text = map[bool]string{true: "1", false: "0"}[x]
		}
	case int64:
		text = strconv.FormatInt(x, 10)
	case float64:
		text = strconv.FormatFloat(x, 'g', -1, 64)
	}
	switch to.Kind() {
	case reflect.String:
		to.SetString(text)
	case reflect.Bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return err
		}
		to.SetBool(b)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		n, err := strconv.ParseInt(text, 10, to.Type().Bits())
		if err != nil {
			return err
		}
		to.SetInt(n)
	case reflect.Float32, reflect.Float64:
		n, err := strconv.ParseFloat(text, to.Type().Bits())
		if err != nil {
			return err
		}
		to.SetFloat(n)
	case reflect.Slice:
		if to.Type().Elem().Kind() != reflect.Uint8 {
			return fmt.Errorf("cannot scan into %s", to.Type())
		}
		to.SetBytes([]byte(text))
	default:
		return fmt.Errorf("cannot scan into %s", to.Type())
	}
	return nil
}
