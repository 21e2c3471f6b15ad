package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"sync"
)

// Options of a store. Path is required.
type Options struct {
	// Path of the SQLite file (or sqlite:///path), which is made, readable by its owner only, if it does not exist; or a
	// postgresql:// URI.
	Path string
	// Migrations of the capabilities that live in the database; more can follow with [Store.Migrate].
	Migrations []Migrations
	// Readers is the number of connections that read at the same time; 0 takes a number that fits the machine.
	Readers int
	// Logger hears of checkpoints that fail and the like. Nil is silence.
	Logger *slog.Logger
}

// Errors that callers tell apart with errors.Is.
var (
	// ErrClosed is returned after Close.
	ErrClosed = errors.New("the database is closed")
	// ErrConflict is a violated constraint: a key that exists, a reference to nothing.
	ErrConflict = errors.New("conflict with a stored row")
	// ErrNewer means that a newer program wrote the database.
	ErrNewer = errors.New("the database was written by a newer version of this program")
	// ErrForeign means that the database belongs to something else.
	ErrForeign = errors.New("this is not a Kiwerk database")
	// ErrMLflow is ErrForeign, and the database is one of MLflow's.
	ErrMLflow = fmt.Errorf("%w but one of MLflow (it has a table alembic_version); bring its content over with `kiwerk tracking import` and choose another database here", ErrForeign)
	// ErrOtherBuild means that a build which was never released made the schema.
	ErrOtherBuild = errors.New("the schema is that of another build of this program, which was never released")
	// ErrUnavailable means that the database cannot be reached at the moment; the same again may work soon.
	ErrUnavailable error = unavailable{}
	// ErrValue means that the database cannot hold a value, e.g. a text with a NUL.
	ErrValue error = badValue{}
)

// unavailable and badValue tell the HTTP server, which does not know this package, what they are.
type (
	unavailable struct{}
	badValue    struct{}
)

func (unavailable) Error() string     { return "the database cannot be reached" }
func (unavailable) Unavailable() bool { return true }
func (badValue) Error() string        { return "the database cannot hold this value" }
func (badValue) InvalidValue() bool   { return true }

// Store is an open database. Its methods may be called from many goroutines.
type Store struct {
	path    string
	log     *slog.Logger
	backend backend
	// sessions are the writer and the readers.
	sessions []session
	readers  chan session
	queue    chan *request
	closing  chan struct{}
	done     chan struct{} // the writer has ended
	once     sync.Once
	// schema serialises Migrate.
	schema sync.Mutex
}

// Open opens or makes the database and brings its schema up to date.
func Open(ctx context.Context, o Options) (*Store, error) {
	if o.Path == "" {
		return nil, errors.New("store: Path is required")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Readers <= 0 {
		o.Readers = max(4, 2*runtime.GOMAXPROCS(0))
	}
	db, err := newBackend(o)
	if err != nil {
		return nil, err
	}
	s := &Store{
		path: redact(o.Path), log: o.Logger, backend: db,
		readers: make(chan session, o.Readers),
		queue:   make(chan *request, maxGroup),
		closing: make(chan struct{}), done: make(chan struct{}),
	}
	writer, err := s.connect(ctx, o.Readers)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open database %s: %w", s.path, db.translate(err)), db.close())
	}
	go s.write(context.WithoutCancel(ctx), writer)
	if err := s.Migrate(ctx, o.Migrations...); err != nil {
		return nil, errors.Join(fmt.Errorf("open database %s: %w", s.path, err), s.Close())
	}
	return s, nil
}

func (s *Store) connect(ctx context.Context, readers int) (writer session, err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, s.disconnect())
		}
	}()
	if writer, err = s.backend.session(ctx, true); err != nil {
		return nil, err
	}
	s.sessions = append(s.sessions, writer)
	for range readers {
		r, err := s.backend.session(ctx, false)
		if err != nil {
			return nil, err
		}
		s.sessions = append(s.sessions, r)
		s.readers <- r
	}
	return writer, nil
}

// Update runs fn in a transaction that is on the disk when Update returns nil.
// Other updates may share the transaction but neither see half of this one nor
// fail with it. fn must not call Update or View, and may run more than once
// (when a neighbour broke the shared transaction), so it sets its results
// instead of adding to them. An error of fn is returned as it is, after its
// writes were taken back.
func (s *Store) Update(ctx context.Context, fn func(*Tx) error) error {
	r := &request{ctx: ctx, fn: guarded(ctx, fn), done: make(chan error, 1)}
	select {
	case <-s.closing:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	case s.queue <- r:
	}
	select {
	case err := <-r.done:
		return err
	case <-ctx.Done():
		if r.claim() {
			return ctx.Err()
		}
		return <-r.done // it runs already; its outcome counts
	case <-s.done:
		// The writer answers everything it took before it ends.
		select {
		case err := <-r.done:
			return err
		default:
			return ErrClosed
		}
	}
}

// View runs fn over a snapshot of the database. fn must not call View or
// Update: the number of readers is bounded.
func (s *Store) View(ctx context.Context, fn func(*Tx) error) (err error) {
	var r session
	select {
	case <-s.closing:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	case r = <-s.readers:
	}
	defer func() { s.readers <- r }()
	plain := context.WithoutCancel(ctx) // a cancelled COMMIT would keep the snapshot open
	if err := r.frame(plain, snapshot); err != nil {
		return s.backend.translate(err)
	}
	defer func() {
		if endErr := r.frame(plain, commit); endErr != nil {
			if err == nil {
				err = s.backend.translate(endErr)
			}
			s.rollback(plain, r)
		}
	}()
	return fn(&Tx{ctx: ctx, session: r, store: s})
}

// Dialect is the kind of the database.
func (s *Store) Dialect() Dialect { return s.backend.dialect() }

// Path is where the database lies; of a URI without the password.
func (s *Store) Path() string { return s.path }

// Close waits for the updates that were accepted and closes the database.
func (s *Store) Close() error {
	var err error
	s.once.Do(func() {
		close(s.closing)
		<-s.done
		for range cap(s.readers) {
			<-s.readers
		}
		err = errors.Join(s.disconnect(), s.backend.close())
	})
	return err
}

func (s *Store) disconnect() error {
	var errs []error
	for _, c := range slices.Backward(s.sessions) {
		errs = append(errs, c.close())
	}
	return errors.Join(errs...)
}
