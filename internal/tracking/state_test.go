package tracking_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/kiwerk/kiwerk/internal/store"
)

// state is everything that is stored: each row of each table and each file
// below a folder, so that two of them tell whether anything was written.
func (p *platform) state(folders ...string) (s map[string]string) {
	p.t.Helper()
	s = map[string]string{}
	err := p.db.View(p.t.Context(), func(t *store.Tx) error {
		columns := map[string][]string{}
		err := t.Each(func(r store.Rows) error {
			var table, column string
			if err := r.Scan(&table, &column); err != nil {
				return err
			}
			columns[table] = append(columns[table], "quote("+column+")")
			return nil
		}, `SELECT m.name, '"' || c.name || '"' FROM sqlite_master m JOIN pragma_table_info(m.name) c WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%' ORDER BY 1, c.cid`)
		if err != nil {
			return err
		}
		delete(columns, "run_keys") // names of keys are interned before a batch is looked at, and belong to nobody
		for table, list := range columns {
			n := 0
			err := t.Each(func(r store.Rows) error {
				var row string
				n++
				if err := r.Scan(&row); err != nil {
					return err
				}
				s[fmt.Sprintf("%s %s", table, row)] = "row"
				return nil
			}, "SELECT "+strings.Join(list, " || ',' || ")+` FROM "`+table+`"`)
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		p.t.Fatal(err)
	}
	for _, folder := range folders {
		err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || strings.Contains(d.Name(), "kiwerk.db") {
				return err
			}
			b, err := os.ReadFile(path)
			s[path] = string(b)
			return err
		})
		if err != nil {
			p.t.Fatal(err)
		}
	}
	return s
}
