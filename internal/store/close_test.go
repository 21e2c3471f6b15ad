package store

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// TestStore_isOneFileAfterClose: whoever copies the database of a server that has ended copies all of it.
func TestStore_isOneFileAfterClose(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(t.Context(), Options{Path: filepath.Join(dir, "a.db")})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Update(t.Context(), func(x *Tx) error { return x.Script("CREATE TABLE things(a INTEGER)") }); err != nil {
		t.Fatal(err)
	}
	if err := s.Update(t.Context(), func(x *Tx) error { _, err := x.Exec("INSERT INTO things VALUES(?)", 1); return err }); err != nil {
		t.Fatal(err)
	}
	if err := s.View(t.Context(), func(x *Tx) error { var n int; return x.Row("SELECT count(*) FROM things").Scan(&n) }); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if list, err := os.ReadDir(dir); err != nil || len(list) != 1 {
		t.Errorf("there are %v, %v", list, err)
	}
}

// fewSessions is a database that gives out no more connections at some point.
type fewSessions struct {
	backend
	left, open int
}

type countedSession struct {
	session
	of *fewSessions
}

var errNoMore = errors.New("no more connections")

func (f *fewSessions) session(ctx context.Context, writes bool) (session, error) {
	if f.left--; f.left < 0 {
		return nil, errNoMore
	}
	s, err := f.backend.session(ctx, writes)
	f.open++
	return countedSession{s, f}, err
}

func (c countedSession) close() error {
	c.of.open--
	return c.session.close()
}

// TestStore_connect_closes: a connection that fails leaves none of those before it open.
func TestStore_connect_closes(t *testing.T) {
	db := &fewSessions{backend: &sqlite{path: filepath.Join(t.TempDir(), "a.db")}, left: 3}
	s := &Store{backend: db, readers: make(chan session, 4)}
	if _, err := s.connect(t.Context(), 4); !errors.Is(err, errNoMore) || db.open != 0 {
		t.Errorf("%d are open, %v", db.open, err)
	}
	if err := db.close(); err != nil {
		t.Error(err)
	}
}
