//go:build linux

package cri

// Subscribers tells how many clients listen to events.
func (s *Server) Subscribers() int {
	s.events.mu.Lock()
	defer s.events.mu.Unlock()
	return len(s.events.subs)
}
