//go:build linux

package local

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestNeighbours(t *testing.T) {
	base := t.TempDir()
	mine, other := t.TempDir(), t.TempDir()
	for name, dir := range map[string]string{"a": mine, "b": other, "gone": filepath.Join(base, "gone"), "odd": "relative"} {
		if err := rememberDataDir(filepath.Join(base, name), dir); err != nil {
			t.Fatal(err)
		}
	}
	got := neighbours(filepath.Join(base, "a"))
	for _, want := range []string{base, mine, other} {
		if !slices.Contains(got, want) {
			t.Errorf("%v lacks %s", got, want)
		}
	}
	for _, place := range got {
		if place == "relative" || filepath.Base(place) == "gone" {
			t.Errorf("%s is no place of a platform", place)
		}
	}
	if notes, err := os.ReadDir(filepath.Join(base, knownDir)); err != nil || len(notes) != 2 {
		t.Errorf("notes %v, %v: those of directories that are gone stay", notes, err)
	}
	if st, err := os.Stat(filepath.Join(base, knownDir)); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", st, err)
	}
}
