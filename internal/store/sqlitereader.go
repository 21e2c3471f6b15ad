package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"
	"unsafe"

	"modernc.org/libc"
	lib "modernc.org/sqlite/lib"
)

// sqliteReader is one connection to SQLite that only reads. It speaks with
// SQLite itself: database/sql and its driver spend more on a row than SQLite,
// on boxed values, on a watcher per row and on locks of a connection that only
// one goroutine uses.
type sqliteReader struct {
	tls   *libc.TLS
	db    uintptr
	stmts map[string]*readStatement
}

// readStatement is a prepared statement.
type readStatement struct {
	handle  uintptr
	columns int
	args    int32
	busy    bool
}

var errReadOnly = errors.New("store: a view cannot write")

// openSQLiteReader opens a file that is there.
func openSQLiteReader(uri string, pragmas []string) (_ *sqliteReader, err error) {
	r := &sqliteReader{tls: libc.NewTLS(), stmts: map[string]*readStatement{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.close())
		}
	}()
	err = r.out(func(to uintptr) error {
		return r.text(uri, func(name uintptr, _ int32) error {
			rc := lib.Xsqlite3_open_v2(r.tls, name, to, lib.SQLITE_OPEN_READONLY|lib.SQLITE_OPEN_URI|lib.SQLITE_OPEN_NOMUTEX, 0)
			r.db = libc.AtomicLoadPUintptr(to)
			return r.check(rc)
		})
	})
	if err != nil {
		return nil, err
	}
	lib.Xsqlite3_extended_result_codes(r.tls, r.db, 1)
	for _, c := range readerConfig {
		if err := r.configure(c.what, c.on); err != nil {
			return nil, err
		}
	}
	for _, p := range pragmas {
		if err := r.run("PRAGMA " + p); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// readerConfig are switches that are no pragmas.
var readerConfig = []struct{ what, on int32 }{
	// A wrong name is no text.
	{lib.SQLITE_DBCONFIG_DQS_DDL, 0},
	{lib.SQLITE_DBCONFIG_DQS_DML, 0},
	// A new LIMIT is no reason to compile a statement again.
	{lib.SQLITE_DBCONFIG_ENABLE_QPSG, 1},
}

func (r *sqliteReader) configure(what, on int32) error {
	args := libc.NewVaList(on, uintptr(0))
	defer libc.Xfree(r.tls, args)
	return r.check(lib.Xsqlite3_db_config(r.tls, r.db, what, args))
}

// out lends memory that holds a pointer.
func (r *sqliteReader) out(use func(to uintptr) error) error {
	p := libc.Xcalloc(r.tls, 1, pointerSize)
	if p == 0 {
		return errNoMemory
	}
	defer libc.Xfree(r.tls, p)
	return use(p)
}

const pointerSize = lib.Tsize_t(unsafe.Sizeof(uintptr(0)))

var errNoMemory = errors.New("store: no memory for SQLite")

// text lends a copy of a text.
func (r *sqliteReader) text(s string, use func(at uintptr, n int32) error) error {
	p, err := libc.CString(s)
	if err != nil {
		return err
	}
	defer libc.Xfree(r.tls, p)
	return use(p, int32(len(s))) //nolint:gosec // SQLite refuses what is longer.
}

// sqliteError is a result code with SQLite's words.
type sqliteError struct {
	code int
	text string
}

func (e *sqliteError) Error() string { return fmt.Sprintf("%s (%d)", e.text, e.code) }

// Code is SQLite's extended result code.
func (e *sqliteError) Code() int { return e.code }

func (r *sqliteReader) check(rc int32) error {
	switch rc {
	case lib.SQLITE_OK, lib.SQLITE_ROW, lib.SQLITE_DONE:
		return nil
	}
	text := libc.GoString(lib.Xsqlite3_errstr(r.tls, rc))
	if r.db != 0 {
		if more := libc.GoString(lib.Xsqlite3_errmsg(r.tls, r.db)); more != text {
			text += ": " + more
		}
	}
	return &sqliteError{int(rc), text}
}

func (r *sqliteReader) frame(_ context.Context, f frame) error {
	for _, text := range sqliteFrames[f] {
		if err := r.run(text); err != nil {
			return err
		}
	}
	return nil
}

// run is for what has no answer.
func (r *sqliteReader) run(text string) error {
	rows, err := r.query(context.Background(), text, nil)
	if err != nil {
		return err
	}
	for rows.Next() { // some pragmas answer
	}
	return errors.Join(rows.Err(), rows.Close())
}

func (r *sqliteReader) exec(context.Context, how, string, []any) (int64, error) {
	return 0, errReadOnly
}

func (r *sqliteReader) query(ctx context.Context, query string, args []any) (cursor, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	st, err := r.prepared(query)
	if err != nil {
		return nil, err
	}
	if int(st.args) != len(args) {
		r.release(query, st)
		return nil, fmt.Errorf("store: %d arguments for %d placeholders in %q", len(args), st.args, query)
	}
	for i, a := range sqliteArgs(args) {
		if err := r.bind(st, int32(i+1), a); err != nil { //nolint:gosec // Few.
			r.release(query, st)
			return nil, err
		}
	}
	rows := &readRows{r: r, st: st, text: query}
	rows.watch(ctx)
	return rows, nil
}

// prepared finds the statement of a query. One that is being read at the
// moment is not given out twice, because running it again would reset it.
func (r *sqliteReader) prepared(query string) (*readStatement, error) {
	if st := r.stmts[query]; st != nil && !st.busy {
		st.busy = true
		return st, nil
	}
	st := &readStatement{busy: true}
	rest := ""
	err := r.out(func(to uintptr) error {
		return r.out(func(tail uintptr) error {
			return r.text(sqliteText(query), func(text uintptr, n int32) error {
				rc := lib.Xsqlite3_prepare_v3(r.tls, r.db, text, n, lib.SQLITE_PREPARE_PERSISTENT, to, tail)
				st.handle, rest = libc.AtomicLoadPUintptr(to), libc.GoString(libc.AtomicLoadPUintptr(tail))
				return r.check(rc)
			})
		})
	})
	if err == nil && strings.TrimSpace(rest) != "" {
		lib.Xsqlite3_finalize(r.tls, st.handle) // nothing of it ran
		err = fmt.Errorf("store: a second statement %q in one text", rest)
	}
	if err != nil {
		return nil, err
	}
	st.columns = int(lib.Xsqlite3_column_count(r.tls, st.handle))
	st.args = lib.Xsqlite3_bind_parameter_count(r.tls, st.handle)
	if r.stmts[query] == nil && len(r.stmts) < maxStatements {
		r.stmts[query] = st
	}
	return st, nil
}

// release keeps a statement for the next time, or ends it.
func (r *sqliteReader) release(query string, st *readStatement) {
	if r.stmts[query] != st {
		lib.Xsqlite3_finalize(r.tls, st.handle) // its result is that of the last step
		return
	}
	lib.Xsqlite3_reset(r.tls, st.handle)
	lib.Xsqlite3_clear_bindings(r.tls, st.handle)
	st.busy = false
}

// copied tells SQLite that what is bound does not stay.
const copied = ^uintptr(0)

func (r *sqliteReader) bind(st *readStatement, i int32, arg any) error {
	switch v := plainValue(arg, 0).(type) {
	case nil:
		return r.check(lib.Xsqlite3_bind_null(r.tls, st.handle, i))
	case int64:
		return r.check(lib.Xsqlite3_bind_int64(r.tls, st.handle, i, v))
	case float64:
		return r.check(lib.Xsqlite3_bind_double(r.tls, st.handle, i, v))
	case string:
		return r.text(v, func(at uintptr, n int32) error {
			return r.check(lib.Xsqlite3_bind_text(r.tls, st.handle, i, at, n, copied))
		})
	case []byte:
		if v == nil {
			return r.bind(st, i, nil)
		}
		return r.text(string(v), func(at uintptr, n int32) error {
			return r.check(lib.Xsqlite3_bind_blob(r.tls, st.handle, i, at, n, copied))
		})
	default:
		return fmt.Errorf("%w: argument %d is a %T", ErrValue, i, arg)
	}
}

func (r *sqliteReader) close() error {
	for _, st := range r.stmts {
		lib.Xsqlite3_finalize(r.tls, st.handle)
	}
	err := r.check(lib.Xsqlite3_close_v2(r.tls, r.db))
	r.tls.Close()
	return err
}

// readRows walks an answer.
type readRows struct {
	r    *sqliteReader
	st   *readStatement
	text string
	err  error
	// givenUp is why the context has ended; stop ends the watch over it.
	givenUp atomic.Pointer[error]
	stop    func()
	closed  bool
}

// again is how often a query that does not end is interrupted: an interrupt before its first step is lost.
const again = 10 * time.Millisecond

// watch interrupts the query when its context ends.
func (s *readRows) watch(ctx context.Context) {
	if ctx.Done() == nil {
		return
	}
	over, ended := make(chan struct{}), make(chan struct{})
	unwatch := context.AfterFunc(ctx, func() {
		defer close(ended)
		tls := libc.NewTLS()
		defer tls.Close()
		err := ctx.Err()
		s.givenUp.Store(&err)
		for t := time.NewTicker(again); ; {
			lib.Xsqlite3_interrupt(tls, s.r.db)
			select {
			case <-over:
				t.Stop()
				return
			case <-t.C:
			}
		}
	})
	s.stop = func() {
		if !unwatch() {
			close(over)
			<-ended // the next query must not be interrupted
		}
	}
}

// Next implements cursor.
func (s *readRows) Next() bool {
	if s.err != nil {
		return false
	}
	if err := s.givenUp.Load(); err != nil {
		s.err = *err
		return false
	}
	rc := lib.Xsqlite3_step(s.r.tls, s.st.handle)
	s.err = s.r.check(rc)
	return rc == lib.SQLITE_ROW
}

// Err implements cursor.
func (s *readRows) Err() error { return s.err }

// Close implements cursor.
func (s *readRows) Close() error {
	if s.closed {
		return nil
	}
	s.closed = true
	if s.stop != nil {
		s.stop()
	}
	s.r.release(s.text, s.st)
	return nil
}

// Scan copies the row into dest, with the conversions of database/sql.
func (s *readRows) Scan(dest ...any) error {
	if len(dest) != s.st.columns {
		return fmt.Errorf("store: %d destinations for %d columns", len(dest), s.st.columns)
	}
	for i, d := range dest {
		if err := s.scan(int32(i), d); err != nil { //nolint:gosec // Few.
			return fmt.Errorf("store: column %d (%s): %w", i+1, libc.GoString(lib.Xsqlite3_column_name(s.r.tls, s.st.handle, int32(i))), err) //nolint:gosec // As above.
		}
	}
	return nil
}

func (s *readRows) scan(i int32, dest any) error {
	kind := lib.Xsqlite3_column_type(s.r.tls, s.st.handle, i)
	switch d := dest.(type) { // the usual ones, without allocations
	case *int64:
		if kind == lib.SQLITE_INTEGER {
			*d = lib.Xsqlite3_column_int64(s.r.tls, s.st.handle, i)
			return nil
		}
	case *float64:
		if kind == lib.SQLITE_FLOAT {
			*d = lib.Xsqlite3_column_double(s.r.tls, s.st.handle, i)
			return nil
		}
	case *string:
		if kind == lib.SQLITE_TEXT {
			*d = s.textAt(i)
			return nil
		}
	}
	switch kind {
	case lib.SQLITE_INTEGER:
		return assign(dest, lib.Xsqlite3_column_int64(s.r.tls, s.st.handle, i))
	case lib.SQLITE_FLOAT:
		return assign(dest, lib.Xsqlite3_column_double(s.r.tls, s.st.handle, i))
	case lib.SQLITE_TEXT:
		return assign(dest, s.textAt(i))
	case lib.SQLITE_BLOB:
		return assign(dest, []byte(s.bytesAt(i, lib.Xsqlite3_column_blob(s.r.tls, s.st.handle, i))))
	default:
		return assign(dest, nil)
	}
}

func (s *readRows) textAt(i int32) string {
	return s.bytesAt(i, lib.Xsqlite3_column_text(s.r.tls, s.st.handle, i))
}

// bytesAt copies what SQLite owns until the next step.
func (s *readRows) bytesAt(i int32, at uintptr) string {
	n := lib.Xsqlite3_column_bytes(s.r.tls, s.st.handle, i)
	if at == 0 || n == 0 {
		return ""
	}
	return string(libc.GoBytes(at, int(n)))
}

// sqliteText is a query as SQLite reads it.
func sqliteText(query string) string {
	return strings.ReplaceAll(query, listMark, "(SELECT value FROM json_each(?))")
}
