//go:build linux

package image

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"k8s.io/utils/clock"
)

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
