//go:build linux

package image

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"k8s.io/utils/clock"
)

// named is a store with one image of these names.
func named(t *testing.T, names ...string) (*Store, string) {
	t.Helper()
	s, err := Open(Options{Dir: t.TempDir(), Transport: http.DefaultTransport, Clock: clock.RealClock{}})
	if err != nil {
		t.Fatal(err)
	}
	id := "sha256:" + strings.Repeat("0", 64)
	s.images[id] = imageRecord{ID: id}
	for _, n := range names {
		if _, err := s.setName(nameRecord{Name: n, ID: id, Source: SourceLoad}); err != nil {
			t.Fatal(err)
		}
	}
	return s, id
}

// TestStore_Untag_whileItGetsAName: who gives an image a name holds its lock,
// and the image must not go with a name that was the last one before.
func TestStore_Untag_whileItGetsAName(t *testing.T) {
	const one, two = "docker.io/library/app:1", "docker.io/library/app:2"
	s, id := named(t, one)
	unlock := s.working.lock(imageKey(id))
	asked, done := make(chan struct{}), make(chan error, 1)
	go func() {
		close(asked)
		_, err := s.Untag(one, func(string) error { return nil })
		done <- err
	}()
	<-asked
	if _, err := s.setName(nameRecord{Name: two, ID: id, Source: SourceLoad}); err != nil {
		t.Fatal(err)
	}
	unlock()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, ok := s.Find(two); !ok {
		t.Error("the image went with a name although it has another")
	}
}

// TestStore_Untag_twice: two names go at the same time; a container uses the image.
func TestStore_Untag_twice(t *testing.T) {
	names := []string{"docker.io/library/app:1", "docker.io/library/app:2"}
	s, id := named(t, names...)
	used := errors.New("a container uses it")
	errs := make(chan error, len(names))
	for _, n := range names {
		go func() {
			_, err := s.Untag(n, func(string) error { return used })
			errs <- err
		}()
	}
	if first, second := <-errs, <-errs; (first == nil) == (second == nil) || !errors.Is(errors.Join(first, second), used) {
		t.Errorf("%v, %v: one name goes, the image stays with the other", first, second)
	}
	if _, ok := s.Find(id); !ok {
		t.Error("the image is gone")
	}
}

func TestStore_setName_removed(t *testing.T) {
	s, err := Open(Options{Dir: t.TempDir(), Transport: http.DefaultTransport, Clock: clock.RealClock{}})
	if err != nil {
		t.Fatal(err)
	}
	rec := nameRecord{Name: "docker.io/library/app:1", ID: "sha256:" + strings.Repeat("0", 64), Source: SourceLoad}
	if i, err := s.setName(rec); !errors.Is(err, errRemoved) || i != nil {
		t.Errorf("%v, %v", i, err)
	}
	if _, ok := s.Find(rec.Name); ok {
		t.Error("the name means something")
	}
}
