package store

import (
	"errors"
	"testing"
)

// TestOnce_leavesTheRefusalOfTLSOut where another attempt says more.
func TestOnce_leavesTheRefusalOfTLSOut(t *testing.T) {
	for in, want := range map[string]string{
		"failed to connect:\n\t[::1]:1: tls error: server refused TLS connection\n\t[::1]:1: server error: no role": "failed to connect: [::1]:1: server error: no role",
		"failed to connect:\n\t[::1]:1: tls error: server refused TLS connection":                                   "failed to connect: [::1]:1: tls error: server refused TLS connection",
		"failed to connect:\n\trefused\n\trefused":                                                                  "failed to connect: refused",
	} {
		if got := (&once{errors.New(in)}).Error(); got != want {
			t.Errorf("got %q", got)
		}
	}
}
