package store_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestMigrations_bothDialects: whatever a capability adds to the schema of one
// database it adds to that of the other.
func TestMigrations_bothDialects(t *testing.T) {
	n := 0
	err := filepath.WalkDir("..", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".sql" || !strings.Contains(path, "/migrations/") {
			return err
		}
		n++
		other := strings.NewReplacer("/migrations/sqlite/", "/migrations/postgres/", "/migrations/postgres/", "/migrations/sqlite/").Replace(path)
		if other == path {
			t.Errorf("%s must lie in migrations/sqlite or migrations/postgres", path)
		} else if _, err := os.Stat(other); err != nil {
			t.Error(err)
		}
		return nil
	})
	if err != nil || n < 10 {
		t.Errorf("%d migrations, %v", n, err)
	}
}
