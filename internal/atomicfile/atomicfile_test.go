package atomicfile_test

import (
	"bytes"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/kiwerk/kiwerk/internal/atomicfile"
)

func TestWrite(t *testing.T) {
	file := filepath.Join(t.TempDir(), "record.json")
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			if err := atomicfile.Write(file, bytes.Repeat([]byte{byte('a' + i)}, 10_000), 0o640); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if len(b) != 10_000 || bytes.Count(b, b[:1]) != len(b) {
		t.Errorf("the file is a mixture: %d bytes, %.20q…", len(b), b)
	}
	st, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if st.Mode().Perm() != 0o640 {
		t.Errorf("mode %v", st.Mode())
	}
	entries, err := os.ReadDir(filepath.Dir(file))
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 1 {
		t.Errorf("files are left: %v", entries)
	}
}

func TestWrite_leavesTheOldFile(t *testing.T) {
	dir := t.TempDir()
	target := filepath.Join(dir, "folder") // a file cannot replace a folder
	if err := os.Mkdir(target, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := atomicfile.Write(target, []byte("x"), 0o600); err == nil {
		t.Error("no error")
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 1 {
		t.Errorf("files are left: %v", entries)
	}
}
