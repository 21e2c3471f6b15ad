package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
)

// pgSession is one connection to PostgreSQL.
//
// A round trip costs more than most statements, so what frames a transaction
// is not sent by itself: BEGIN and SAVEPOINT travel with the statement that
// follows, and what encloses no statement is never sent.
type pgSession struct {
	db     *postgres
	writes bool
	conn   *pgconn.PgConn // nil or closed: to be made by the next transaction
	types  *pgtype.Map
	stmts  map[string]*pgStatement
	// who is pgWho prepared: to parse it at each transaction is most of its cost.
	who   *pgStatement
	named int
	// pending is what has to be sent before the next statement.
	pending []pgPending
	// xid is the number of the transaction, once the server has told it.
	xid string
	// life is that of the server that gave it, see pgLife.
	life string
	// failed: a statement did, so PostgreSQL refuses the rest up to the savepoint.
	failed bool
	// doomed: the statement that failed was held back by an update before, which counts as done.
	doomed bool
	// active are the rows that are being read from the connection.
	active *pgRows
	// leaving is the end of a view whose answer nobody waits for; the next transaction reads it.
	leaving *pgconn.Pipeline
	buf     []byte
}

// pgPending is a text without arguments or a statement with some.
type pgPending struct {
	text    string
	st      *pgStatement
	values  [][]byte
	formats []int16
}

type pgStatement struct {
	*pgconn.StatementDescription
	results []int16
}

const (
	pgBegin     = "BEGIN"
	pgWho       = "SELECT txid_current()" // travels with BEGIN
	pgSnapshot  = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY"
	pgSavepoint = "SAVEPOINT one"
	pgRelease   = "RELEASE SAVEPOINT one"
	pgBack      = "ROLLBACK TO SAVEPOINT one"
)

var errDoomed = errors.New("a statement that was held back has failed")

var errWentOn = errors.New("an update went on after one of its statements had failed")

func (s *pgSession) frame(ctx context.Context, f frame) error {
	if s.doomed && (f == keep || f == undo || f == commit) {
		return errDoomed
	}
	switch f {
	case begin, snapshot:
		return s.begin(ctx, map[frame]string{begin: pgBegin, snapshot: pgSnapshot}[f])
	case mark:
		s.hold(pgSavepoint)
	case keep:
		if s.failed {
			return errWentOn
		}
		if !s.unsent(pgSavepoint) {
			s.hold(pgRelease)
		}
	case undo:
		if s.lost() {
			return errAgain
		}
		s.undo()
	case commit:
		return s.commit(ctx)
	case rollback:
		return s.rollback(ctx)
	}
	return nil
}

func (s *pgSession) hold(text string) { s.pending = append(s.pending, pgPending{text: text}) }

// unsent takes the last pending text back, if it is this one.
func (s *pgSession) unsent(text string) bool {
	if n := len(s.pending); n > 0 && s.pending[n-1].text == text {
		s.pending = s.pending[:n-1]
		return true
	}
	return false
}

// undo goes back to the savepoint, which may not have been sent.
func (s *pgSession) undo() {
	s.failed = false
	for i, p := range slices.Backward(s.pending) {
		if p.text == pgSavepoint {
			s.pending = s.pending[:i]
			return
		}
	}
	s.hold(pgBack)
	s.hold(pgRelease)
}

// begun tells whether anything of the transaction was sent.
func (s *pgSession) begun() bool {
	return len(s.pending) == 0 || s.pending[0].text != pgBegin && s.pending[0].text != pgSnapshot
}

// later holds a statement back until the next one that is answered, or the commit.
func (s *pgSession) later(ctx context.Context, query string, args []any) error {
	if s.lost() {
		return s.broken(errAgain)
	}
	st, err := s.prepared(ctx, query)
	if err != nil {
		return err
	}
	values, formats, err := s.encode(st.ParamOIDs, args)
	if err != nil {
		return err
	}
	s.buf = nil // belongs to the statement now
	s.pending = append(s.pending, pgPending{st: st, values: values, formats: formats})
	return nil
}

func (s *pgSession) begin(ctx context.Context, text string) error {
	s.pending, s.failed, s.active = append(s.pending[:0], pgPending{text: text}), false, nil
	s.doomed, s.xid = false, ""
	if s.writes {
		s.hold(pgWho)
	}
	s.left()
	if s.lost() {
		return s.connect(ctx)
	}
	return nil
}

// left waits for the end of the view before.
func (s *pgSession) left() {
	if s.leaving != nil {
		_ = s.leaving.Close() // what the view read was read, and a connection that broke shows
		s.leaving = nil
	}
}

func (s *pgSession) lost() bool { return s.conn == nil || s.conn.IsClosed() }

func (s *pgSession) connect(ctx context.Context) error {
	conn, err := s.db.dial(ctx)
	if err != nil {
		return err
	}
	s.conn, s.stmts, s.who, s.active = conn, map[string]*pgStatement{}, nil, nil
	if !s.writes {
		return nil
	}
	// What was answered must be on the disk, whatever the server's default is.
	pending := s.pending
	s.pending = nil
	defer func() { s.pending = pending }()
	var durable string
	if err := s.row(ctx, "SELECT current_setting('synchronous_commit')", &durable); err != nil {
		return err
	}
	if durable == "off" {
		if _, err = s.exec(ctx, now, "SELECT set_config('synchronous_commit', 'on', false)", nil); err != nil {
			return err
		}
	}
	if s.who, err = s.prepared(ctx, pgWho); err != nil {
		return err
	}
	delete(s.stmts, pgWho) // it is not dropped with the others
	if err = s.row(ctx, pgLife, &s.life); err != nil && !s.lost() {
		s.failed, s.life = false, "" // a standby does not tell, nor do some services
		return nil
	}
	return err
}

func (s *pgSession) commit(ctx context.Context) error {
	s.unsent(pgRelease)
	if !s.begun() && !slices.ContainsFunc(s.pending, func(p pgPending) bool { return p.st != nil }) {
		s.pending = s.pending[:0]
		return nil // nothing to do
	}
	if s.lost() {
		return errAgain
	}
	s.finish()
	if !s.writes && len(s.pending) == 0 {
		s.leaving = s.conn.StartPipeline(ctx)
		s.leaving.SendQueryParams("COMMIT", nil, nil, nil, nil)
		return s.leaving.Sync()
	}
	tag, err := s.flush(ctx, "COMMIT")
	if err != nil {
		if s.lost() && s.writes {
			return s.settle(ctx, err)
		}
		return s.broken(err)
	}
	if tag != "COMMIT" {
		return fmt.Errorf("%w: the database answered a commit with %s", errWentOn, tag)
	}
	return nil
}

// flush sends what is pending and a last text, and gives the answer to that.
func (s *pgSession) flush(ctx context.Context, last string) (tag string, err error) {
	p := s.conn.StartPipeline(ctx)
	s.sendPending(p)
	p.SendQueryParams(last, nil, nil, nil, nil)
	if err = p.Sync(); err == nil {
		err = s.skipPending(p)
	}
	s.pending = s.pending[:0]
	if err == nil {
		var r *pgconn.ResultReader
		if r, err = nextResult(p); err == nil {
			var t pgconn.CommandTag
			t, err = r.Close()
			tag = t.String()
		}
	}
	if closeErr := p.Close(); err == nil {
		err = closeErr
	}
	return tag, err
}

func (s *pgSession) rollback(ctx context.Context) error {
	s.pending, s.failed, s.doomed = s.pending[:0], false, false
	s.left()
	if s.lost() {
		return nil
	}
	s.finish()
	if s.conn.TxStatus() == 'I' {
		return nil
	}
	_, err := s.conn.Exec(ctx, "ROLLBACK").ReadAll()
	if err != nil {
		err = errors.Join(err, s.conn.Close(ctx))
	}
	return err
}

// broken notes a failure and tells whether the same again may work.
func (s *pgSession) broken(err error) error {
	s.failed = true
	var e *pgconn.PgError
	if errors.As(err, &e) && (e.Code == "0A000" || e.Code == "26000") {
		// Statements that were prepared before a change of the schema.
		s.stmts, s.who = map[string]*pgStatement{}, nil
	}
	if s.lost() && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%w: %w: %w", ErrUnavailable, errAgain, err)
	}
	return err
}

func (s *pgSession) exec(ctx context.Context, how how, query string, args []any) (int64, error) {
	switch how {
	case later:
		return 0, s.later(ctx, query, args)
	case script:
		return 0, s.script(ctx, query)
	case now:
	}
	r, err := s.run(ctx, query, args)
	if err != nil {
		return 0, err
	}
	if err := r.Close(); err != nil {
		return 0, err
	}
	return r.tag.RowsAffected(), nil
}

func (s *pgSession) query(ctx context.Context, query string, args []any) (cursor, error) {
	return s.run(ctx, query, args)
}

// row reads the one row of a query.
func (s *pgSession) row(ctx context.Context, query string, dest ...any) error {
	r, err := s.run(ctx, query, nil)
	if err != nil {
		return err
	}
	if r.Next() {
		err = r.Scan(dest...)
	}
	return errors.Join(err, r.Close())
}

// run sends a statement with what is pending. If the connection was lost while
// it was idle, nothing has been done yet, and a new one is tried.
func (s *pgSession) run(ctx context.Context, query string, args []any) (*pgRows, error) {
	first := !s.begun() && !slices.ContainsFunc(s.pending, func(p pgPending) bool { return p.st != nil })
	pending := s.pending
	rows, err := s.try(ctx, query, args)
	if err == nil || !first || !s.lost() || ctx.Err() != nil {
		return rows, err
	}
	s.pending, s.failed = pending, false
	if err := s.connect(ctx); err != nil {
		return nil, err
	}
	return s.try(ctx, query, args)
}

func (s *pgSession) try(ctx context.Context, query string, args []any) (*pgRows, error) {
	if s.lost() {
		return nil, s.broken(errAgain)
	}
	if s.active != nil {
		s.active.keep()
	}
	st, err := s.prepared(ctx, query)
	if err != nil {
		return nil, err
	}
	if len(args) != len(st.ParamOIDs) {
		return nil, fmt.Errorf("store: %d arguments for %d placeholders in %q", len(args), len(st.ParamOIDs), query)
	}
	values, formats, err := s.encode(st.ParamOIDs, args)
	if err != nil {
		return nil, err
	}
	r := &pgRows{s: s, st: st}
	if len(s.pending) == 0 {
		r.result = s.conn.ExecStatement(ctx, st.StatementDescription, values, formats, st.results)
	} else {
		r.pipeline = s.conn.StartPipeline(ctx)
		s.sendPending(r.pipeline)
		r.pipeline.SendQueryStatement(st.StatementDescription, values, formats, st.results)
		err := r.pipeline.Sync()
		if err == nil {
			err = s.skipPending(r.pipeline)
		}
		if err == nil {
			r.result, err = nextResult(r.pipeline)
		}
		s.pending = nil // sent: who failed first goes back to a savepoint that is there
		if err != nil {
			return nil, s.broken(errors.Join(err, r.pipeline.Close()))
		}
	}
	s.active = r
	return r, nil
}

// queries sends several statements at once. None are sent, and no cursors
// returned, where the connection may have to be made anew or statements to be
// dropped: one after the other then does.
func (s *pgSession) queries(ctx context.Context, list []Query) ([]cursor, error) {
	if len(list) < 2 || !s.begun() || s.lost() || len(s.stmts)+len(list) > maxStatements {
		return nil, nil
	}
	if s.active != nil {
		s.active.keep()
	}
	rows, bound := make([]*pgRows, len(list)), make([]pgPending, len(list))
	for i, q := range list {
		st, err := s.prepared(ctx, q.Text)
		if err != nil {
			return nil, err
		}
		if len(q.Args) != len(st.ParamOIDs) {
			return nil, fmt.Errorf("store: %d arguments for %d placeholders in %q", len(q.Args), len(st.ParamOIDs), q.Text)
		}
		// All are encoded before the pipeline begins: to give one up costs the connection.
		values, formats, err := s.encode(st.ParamOIDs, q.Args)
		if err != nil {
			return nil, err
		}
		s.buf = nil // belongs to the values now
		rows[i], bound[i] = &pgRows{s: s, st: st}, pgPending{values: values, formats: formats}
	}
	p := s.conn.StartPipeline(ctx)
	s.sendPending(p)
	for i, b := range bound {
		p.SendQueryStatement(rows[i].st.StatementDescription, b.values, b.formats, rows[i].st.results)
		rows[i].pipeline = p
		if i > 0 {
			rows[i-1].next = rows[i]
		}
	}
	err := p.Sync()
	if err == nil {
		err = s.skipPending(p)
	}
	s.pending = nil
	if err == nil {
		rows[0].result, err = nextResult(p)
	}
	if err != nil {
		return nil, s.broken(errors.Join(err, p.Close()))
	}
	s.active = rows[0]
	cursors := make([]cursor, len(rows))
	for i, r := range rows {
		cursors[i] = r
	}
	return cursors, nil
}

func (s *pgSession) sendPending(p *pgconn.Pipeline) {
	for _, w := range s.pending {
		switch {
		case w.st != nil:
			p.SendQueryStatement(w.st.StatementDescription, w.values, w.formats, nil)
		case w.text == pgWho && s.who != nil:
			p.SendQueryStatement(s.who.StatementDescription, nil, nil, nil)
		default:
			p.SendQueryParams(w.text, nil, nil, nil, nil)
		}
	}
}

func (s *pgSession) skipPending(p *pgconn.Pipeline) error {
	for i := range s.pending {
		r, err := nextResult(p)
		if err == nil {
			for s.pending[i].text == pgWho && r.NextRow() {
				s.xid = string(r.Values()[0])
			}
			_, err = r.Close()
		}
		if err != nil {
			// What stands before the savepoint is not of the update that runs now.
			s.doomed = slices.ContainsFunc(s.pending[i+1:], func(p pgPending) bool { return p.text == pgSavepoint })
			return err
		}
	}
	return nil
}

func nextResult(p *pgconn.Pipeline) (*pgconn.ResultReader, error) {
	answer, err := p.GetResults()
	if err != nil {
		return nil, err
	}
	r, ok := answer.(*pgconn.ResultReader)
	if !ok {
		return nil, fmt.Errorf("store: PostgreSQL answered a statement with %T", answer)
	}
	return r, nil
}

// prepared finds the statement of a query.
func (s *pgSession) prepared(ctx context.Context, query string) (*pgStatement, error) {
	if st := s.stmts[query]; st != nil {
		return st, nil
	}
	p := s.conn.StartPipeline(ctx)
	s.sendPending(p)
	dropped := 0
	if len(s.stmts) >= maxStatements { // searches make many different texts
		for _, st := range s.stmts {
			p.SendDeallocate(st.Name)
		}
		dropped = len(s.stmts)
		s.stmts = map[string]*pgStatement{}
	}
	s.named++
	name := "s" + strconv.Itoa(s.named)
	p.SendPrepare(name, toPostgres(query), nil)
	st, err := s.readPrepared(p, dropped)
	s.pending = nil
	if err = errors.Join(err, p.Close()); err != nil {
		return nil, s.broken(fmt.Errorf("%w in %q", err, query))
	}
	st.Name = name // a pipeline does not tell
	s.stmts[query] = st
	return st, nil
}

func (s *pgSession) readPrepared(p *pgconn.Pipeline, dropped int) (*pgStatement, error) {
	if err := p.Sync(); err != nil {
		return nil, err
	}
	if err := s.skipPending(p); err != nil {
		return nil, err
	}
	for range dropped {
		if _, err := p.GetResults(); err != nil {
			return nil, err
		}
	}
	answer, err := p.GetResults()
	if err != nil {
		return nil, err
	}
	d, ok := answer.(*pgconn.StatementDescription)
	if !ok {
		return nil, fmt.Errorf("store: PostgreSQL answered a preparation with %T", answer)
	}
	st := &pgStatement{StatementDescription: d, results: make([]int16, len(d.Fields))}
	for i, f := range d.Fields {
		st.results[i] = s.types.FormatCodeForOID(f.DataTypeOID)
	}
	return st, nil
}

func (s *pgSession) script(ctx context.Context, text string) error {
	if s.active != nil {
		s.active.keep()
	}
	if len(s.pending) > 0 {
		if _, err := s.flush(ctx, "SELECT 1"); err != nil {
			return s.broken(err)
		}
	}
	if _, err := s.conn.Exec(ctx, text).ReadAll(); err != nil {
		return s.broken(err)
	}
	return nil
}

// finish ends an answer that nobody read to its end.
func (s *pgSession) finish() {
	if s.active != nil {
		_ = s.active.Close() // its error was told where it was read
	}
}

func (s *pgSession) close() error {
	s.left()
	if s.lost() {
		return nil
	}
	return s.conn.Close(context.Background())
}
