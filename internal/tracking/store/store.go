package store

import (
	"context"
	"embed"
	"errors"
	"time"

	db "github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
)

//go:embed migrations
var migrations embed.FS

// Migrations is the schema.
func Migrations() db.Migrations { return db.Migrations{Owner: "tracking", FS: migrations} }

// Options of a store; all but Sources, Listener, Owners and Location are required.
type Options struct {
	DB    *db.Store
	Clock func() time.Time
	// NewID makes ids of 32 hexadecimal digits.
	NewID func() string
	// ArtifactRoot begins the address of every artifact, e.g. "mlflow-artifacts:".
	ArtifactRoot string
	// DefaultNamespace has experiment 0.
	DefaultNamespace string
	// Sources say which addresses model versions and experiments may name.
	Sources model.SourceRules
	// Listener hears of changes of the registry; nil is nobody.
	Listener Listener
	// Owners are told of what is made, renamed and deleted; nil is nobody.
	Owners Owners
	// Location makes the address that a client gives a new experiment whole; nil leaves it.
	Location func(string) (string, error)
}

// Listener hears of changes of the registry.
type Listener interface {
	// Record is called in the transaction of the change; its error takes the
	// change back. It may run twice, as any update.
	Record(t *db.Tx, e model.Event) error
	// Committed is called when changes that were recorded are on the disk.
	Committed()
}

// Store is tracking's data.
type Store struct {
	o    Options
	db   *db.Store
	keys keys
	// intake holds what is being logged.
	intake intake
	// many are the conditions of searches that fit many runs.
	many remembered
	// maxEntries is the constant, smaller in tests.
	maxEntries int
	// searched hears of the queries of searches; tests look how they are done.
	searched func(t *tx, query string, args []any)
}

// New brings the schema up to date and makes experiment 0.
func New(ctx context.Context, o Options) (*Store, error) {
	if o.DB == nil || o.Clock == nil || o.NewID == nil || o.ArtifactRoot == "" || o.DefaultNamespace == "" {
		return nil, errors.New("tracking store: all options are required")
	}
	if err := o.DB.Migrate(ctx, Migrations()); err != nil {
		return nil, err
	}
	s := &Store{o: o, db: o.DB, maxEntries: maxEntries}
	err := s.update(ctx, func(t *tx) error {
		_, err := t.Exec(`INSERT INTO experiments(id, namespace, name, artifact_location, created, updated)
			VALUES(0, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`, o.DefaultNamespace, DefaultExperiment, s.experimentURI(0), t.now, t.now)
		return err
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// tx is a transaction with what most functions need beside it.
type tx struct {
	*db.Tx
	s   *Store
	now int64
	// interned holds names made or found in this transaction.
	interned map[string]int64
	// names are those that were asked for, which spares the lock of the store's.
	names map[int64]string
	// told says that the listener has recorded something, settles that owners have.
	told, settles bool
}

// tell records a change for the listener.
func (t *tx) tell(e model.Event) error {
	if t.s.o.Listener == nil {
		return nil
	}
	t.told = true
	return t.s.o.Listener.Record(t.Tx, e)
}

func (s *Store) now() int64 { return s.o.Clock().UnixMilli() }

func (s *Store) update(ctx context.Context, fn func(*tx) error) error {
	t := &tx{s: s, now: s.now()}
	err := s.db.Update(ctx, func(d *db.Tx) error {
		t.Tx, t.interned, t.names, t.told, t.settles = d, nil, nil, false, false // it may run twice
		return fn(t)
	})
	if err == nil {
		s.keys.learn(t.interned)
	}
	if err == nil && t.told {
		s.o.Listener.Committed()
	}
	if err == nil && t.settles {
		s.o.Owners.Settled()
	}
	return err
}

func (s *Store) view(ctx context.Context, fn func(*tx) error) error {
	return s.db.View(ctx, func(d *db.Tx) error { return fn(&tx{Tx: d, s: s, now: s.now()}) })
}

// changed turns "no row was changed" into missing.
func changed(n int64, err, missing error) error {
	if err != nil {
		return err
	}
	if n == 0 {
		return missing
	}
	return nil
}

// pairs reads key and value columns.
func (t *tx) pairs(query string, args ...any) (list []model.Pair, err error) {
	err = t.Each(func(r rows) error {
		var p model.Pair
		if err := r.Scan(&p.Key, &p.Value); err != nil {
			return err
		}
		list = append(list, p)
		return nil
	}, query, args...)
	return list, err
}
