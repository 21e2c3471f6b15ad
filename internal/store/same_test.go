package store

import (
	"os"
	"path/filepath"
	"testing"
)

func TestSame(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.db"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("a.db", filepath.Join(dir, "link.db")); err != nil {
		t.Fatal(err)
	}
	const pg = "postgresql://u:p@db.example/runs"
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"/d/a.db", "sqlite:////d/a.db", true},
		{"/d/a.db", "/d/./x/../a.db", true},
		{"/d/a.db", "/d/b.db", false},
		{dir + "/a.db", dir + "/link.db", true},
		{dir + "/a.db", dir + "/b.db", false},
		{pg, "postgres://u:p@db.example/runs", true},
		{pg, "postgresql+psycopg2://u:p@DB.example:5432/runs", true},
		{pg, "postgresql://other:secret@db.example/runs?sslmode=disable", true},
		{pg, "postgresql:///runs?host=db.example", true},
		{"postgresql://u@localhost/runs", "postgresql://u@127.0.0.1:5432/runs", true},
		{pg, "postgresql://u:p@db.example:5433/runs", false},
		{pg, "postgresql://u:p@db.example/models", false},
		{pg, "postgresql://u:p@other.example/runs", false},
		{pg, "postgresql://u:p@db.example/runs?search_path=models", false},
		{pg, "/d/a.db", false},
	} {
		if got := Same(c.a, c.b); got != c.want {
			t.Errorf("%s and %s: %v", c.a, c.b, got)
		}
		if got := Same(c.b, c.a); got != c.want {
			t.Errorf("%s and %s: %v", c.b, c.a, got)
		}
	}
}
