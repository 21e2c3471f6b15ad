package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"sync"
)

// Options of a store. Path is required.
type Options struct {
	// Path of the SQLite file; it is made, readable by its owner only, if it does not exist.
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
	// ErrForeign means that the file is a database of something else.
	ErrForeign = errors.New("the file is not a Kiwerk database")
)

// Store is an open database. Its methods may be called from many goroutines.
type Store struct {
	path    string
	log     *slog.Logger
	db      []*sql.DB // writer's, then the readers'
	readers chan *session
	queue   chan *request
	closing chan struct{}
	done    chan struct{} // the writer has ended
	once    sync.Once
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
	s := &Store{
		path: o.Path, log: o.Logger,
		readers: make(chan *session, o.Readers),
		queue:   make(chan *request, maxGroup),
		closing: make(chan struct{}), done: make(chan struct{}),
	}
	writer, err := s.connect(ctx, o.Readers)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open database %s: %w", o.Path, s.translate(err)), s.disconnect())
	}
	go s.write(context.WithoutCancel(ctx), writer)
	if err := s.Migrate(ctx, o.Migrations...); err != nil {
		return nil, errors.Join(fmt.Errorf("open database %s: %w", o.Path, err), s.Close())
	}
	return s, nil
}

func (s *Store) connect(ctx context.Context, readers int) (writer *session, err error) {
	if err := os.MkdirAll(filepath.Dir(s.path), 0o700); err != nil {
		return nil, err
	}
	// SQLite gives its side files the mode of the main one.
	f, err := os.OpenFile(s.path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := f.Close(); err != nil {
		return nil, err
	}
	w, err := s.openPool(sqliteWriterDSN(s.path), 1)
	if err != nil {
		return nil, err
	}
	if writer, err = newSession(ctx, w); err != nil {
		return nil, err
	}
	if err := prepareFile(ctx, writer.conn); err != nil {
		return nil, err
	}
	r, err := s.openPool(sqliteReaderDSN(s.path), readers)
	if err != nil {
		return nil, err
	}
	for range readers {
		session, err := newSession(ctx, r)
		if err != nil {
			return nil, err
		}
		s.readers <- session
	}
	return writer, nil
}

func (s *Store) openPool(dsn string, size int) (*sql.DB, error) {
	db, err := sql.Open(sqliteDriver, dsn)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(size)
	db.SetMaxIdleConns(size)
	s.db = append(s.db, db)
	return db, nil
}

// Update runs fn in a transaction that is on the disk when Update returns nil.
// Other updates may share the transaction but neither see half of this one nor
// fail with it. fn must not call Update or View, and may run more than once
// (when a neighbour broke the shared transaction), so it sets its results
// instead of adding to them. An error of fn is returned as it is, after its
// writes were taken back.
func (s *Store) Update(ctx context.Context, fn func(*Tx) error) error {
	r := &request{ctx: ctx, fn: fn, done: make(chan error, 1)}
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
	var r *session
	select {
	case <-s.closing:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	case r = <-s.readers:
	}
	defer func() { s.readers <- r }()
	plain := context.WithoutCancel(ctx) // a cancelled COMMIT would keep the snapshot open
	if err := r.exec(plain, "BEGIN"); err != nil {
		return s.translate(err)
	}
	defer func() {
		if endErr := r.exec(plain, "COMMIT"); endErr != nil && err == nil {
			err = s.translate(endErr)
		}
	}()
	return fn(&Tx{ctx: ctx, session: r, store: s})
}

// Path is where the database lies.
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
		err = s.disconnect()
	})
	return err
}

func (s *Store) disconnect() error {
	var errs []error
	for i := len(s.db) - 1; i >= 0; i-- { // the writer last: it folds the log into the main file
		errs = append(errs, s.db[i].Close())
	}
	return errors.Join(errs...)
}
