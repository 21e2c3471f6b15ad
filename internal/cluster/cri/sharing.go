//go:build linux

package cri

import "sync"

// Sharing is what runtimes with the same images know of each other.
type Sharing struct {
	// using is read-held from the choice of an image until its container is known.
	using sync.RWMutex

	mu      sync.Mutex
	servers []*Server
}

func (u *Sharing) add(s *Server) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.servers = append(u.servers, s)
}

// userOf names a container of any of them that needs an image.
func (u *Sharing) userOf(id string) string {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, s := range u.servers {
		if user := s.userOf(id); user != "" {
			return user
		}
	}
	return ""
}
