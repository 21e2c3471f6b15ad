//go:build linux

package rootfs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestResolveParent(t *testing.T) {
	tmp := t.TempDir()
	// Below /tmp nothing would be followed: containers have a /tmp of their own.
	base, err := os.MkdirTemp("/var/tmp", "kiwerk") //nolint:usetesting // Not below /tmp.
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(base) })
	for name, to := range map[string]string{"abs": "/run", "rel": "sub/dir", "up": "../../..", "loop": "loop", "chain": "rel"} {
		if err := os.Symlink(to, filepath.Join(base, name)); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct{ path, want string }{
		"Nothing":    {"/no/such/path", "/no/such/path"},
		"Absolute":   {base + "/abs/x", "/run/x"},
		"Relative":   {base + "/rel/x", base + "/sub/dir/x"},
		"Chain":      {base + "/chain/x", base + "/sub/dir/x"},
		"Dots":       {base + "/a/../b", base + "/b"},
		"ClimbsOut":  {base + "/up/etc", "/etc"},
		"BelowFresh": {tmp + "/x", tmp + "/x"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := resolveParent(c.path)
			if err != nil || got != c.want {
				t.Errorf("resolveParent(%q) = %q, %v; want %q", c.path, got, err, c.want)
			}
		})
	}
	if _, err := resolveParent(base + "/loop/x"); err == nil || !strings.Contains(err.Error(), "too many") {
		t.Errorf("loop: %v", err)
	}
}
