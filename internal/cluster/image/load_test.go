//go:build linux

package image_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/kiwerk/kiwerk/internal/kwtest/imagetest"
)

func TestStore_Load_canceled(t *testing.T) {
	archive := filepath.Join(t.TempDir(), "a.tar")
	imagetest.SaveDocker(t, archive, "app:1", sample(t))
	f, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := open(t, t.TempDir()).Load(ctx, f, "", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

// Between its record and its name an image looks like one that nobody wants.
func TestStore_Load_whilePruned(t *testing.T) {
	archive := filepath.Join(t.TempDir(), "a.tar")
	imagetest.SaveDocker(t, archive, "app:1", sample(t))
	s := open(t, t.TempDir())
	done := make(chan struct{})
	var others sync.WaitGroup
	others.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			if _, err := s.Prune(func(string) bool { return false }, false); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for range 20 {
		list, err := load(t, s, archive, "")
		if err != nil || len(list) != 1 || list[0] == nil || len(list[0].Names) != 1 {
			t.Errorf("%v, %v", list, err)
			break
		}
		if _, err := s.Remove(list[0].ID); err != nil {
			t.Error(err)
		}
	}
	close(done)
	others.Wait()
}
