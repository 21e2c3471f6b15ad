//go:build linux

package cri

import (
	"context"
	"io"
)

// ExecTo runs a command and gives its output to a writer.
func (s *Server) ExecTo(ctx context.Context, id string, out io.Writer, cmd ...string) (int, error) {
	return s.exec(ctx, id, cmd, nil, out, nil)
}

// Subscribers tells how many clients listen to events.
func (s *Server) Subscribers() int {
	s.events.mu.Lock()
	defer s.events.mu.Unlock()
	return len(s.events.subs)
}
