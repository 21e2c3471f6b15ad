//go:build linux

package cri

import (
	"testing"

	"github.com/kiwerk/kiwerk/internal/cluster/shim"
)

// TestSharing keeps an image that a container of another node's runtime runs in.
func TestSharing(t *testing.T) {
	runtime := func(containers ...*container) *Server {
		s := &Server{containers: map[string]*container{}}
		for _, c := range containers {
			s.containers[c.ID] = c
		}
		return s
	}
	runs := newContainer(record{ID: "1", Name: "main", Taken: Taken{Ref: "sha256:runs"}})
	over := newContainer(record{ID: "2", Name: "main", Taken: Taken{Ref: "sha256:over"}})
	over.exit = &shim.Exit{}
	u := &Sharing{}
	u.add(runtime())
	u.add(runtime(runs, over))
	for image, used := range map[string]bool{"sha256:runs": true, "sha256:over": false, "sha256:other": false} {
		if got := u.userOf(image); (got != "") != used {
			t.Errorf("%s is used by %q", image, got)
		}
	}
}
