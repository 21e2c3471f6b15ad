package execpath

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestFind(t *testing.T) {
	dir := t.TempDir()
	for name, mode := range map[string]os.FileMode{"a/tool": 0o755, "b/tool": 0o755, "a/text": 0o644, "b/late": 0o755, "late": 0o755} {
		file := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, nil, mode)); err != nil {
			t.Fatal(err)
		}
	}
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	for name, c := range map[string]struct {
		name, path string
		want       string
		err        error
	}{
		"FirstFolder":       {"tool", a + ":" + b, a + "/tool", nil},
		"LastPathCounts":    {"tool", b, b + "/tool", nil},
		"EmptyIsCwd":        {"late", ":" + b, dir + "/late", nil},
		"Missing":           {"none", a, "", ErrNotFound},
		"NoPath":            {"tool", "", "", ErrNotFound},
		"NotExecutable":     {"text", a + ":" + b, "", fs.ErrPermission},
		"Folder":            {"a", dir, "", fs.ErrPermission},
		"Absolute":          {b + "/late", "", b + "/late", nil},
		"RelativeToCwd":     {"b/late", a, b + "/late", nil},
		"RelativeIsMissing": {"./none", a, dir + "/none", fs.ErrNotExist},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Find(c.name, dir, []string{"PATH=/nowhere", "HOME=/", "PATH=" + c.path})
			if c.err != nil {
				if !errors.Is(err, c.err) {
					t.Errorf("%q, %v", got, err)
				}
				return
			}
			if got != c.want || err != nil {
				t.Errorf("%q, %v; want %q", got, err, c.want)
			}
		})
	}
}
