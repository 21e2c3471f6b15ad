//go:build linux

package image

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// Two at once write one whole record, and nothing stays beside it.
func TestWriteRecord_atOnce(t *testing.T) {
	dir := t.TempDir()
	at := filepath.Join(dir, "r.json")
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for range 10 {
				if err := writeRecord(at, strings.Repeat("ab", 1000*(i+1))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	var got string
	if err := readRecord(at, &got); err != nil {
		t.Error(err)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 1 {
		t.Errorf("%v, %v", files, err)
	}
}
