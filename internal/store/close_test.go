package store

import (
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
