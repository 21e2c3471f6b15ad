//go:build linux

package holder_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kiwerk/kiwerk/internal/cluster/agenttest"
	"github.com/kiwerk/kiwerk/internal/cluster/rootfs"
	"github.com/kiwerk/kiwerk/internal/cluster/shim"
)

// identify runs a container with other ids and returns what it printed, in one line.
func identify(dir string) (string, error) {
	volume := filepath.Join(filepath.Dir(dir), "v")
	if err := os.Mkdir(volume, 0o770); err != nil {
		return "", err
	}
	if err := os.Chown(volume, -1, 3000); err != nil { // as the kubelet does for fsGroup
		return "", err
	}
	if err := os.Chmod(volume, 0o770|os.ModeSetgid); err != nil {
		return "", err
	}
	r, err := shim.Start(context.Background(), agenttest.Agent(), dir, shim.Spec{
		ID: "ids", Process: shim.Process{
			Args: []string{"/bin/sh", "-c", `id -u; id -g; id -G; touch /v/f $HOME/f && stat -c %u:%g /v/f; cat /etc/shadow 2>/dev/null; touch /etc/x 2>/dev/null || echo not root`},
			Env:  []string{"PATH=/usr/bin:/bin", "HOME=" + rootfs.Home}, UID: 1000, GID: 2000, Groups: []uint32{3000},
		},
		Root:    rootfs.Spec{Scratch: filepath.Join(dir, "root"), Volumes: []rootfs.Volume{{Source: volume, Dest: "/v"}}},
		LogPath: filepath.Join(dir, "log"), Socket: filepath.Join(dir, "s"), Grace: time.Second,
	})
	if err != nil {
		return "", err
	}
	<-r.Done()
	log, err := os.ReadFile(filepath.Join(dir, "log"))
	if err != nil {
		return "", err
	}
	var out []string
	for line := range strings.Lines(string(log)) {
		if f := strings.SplitN(strings.TrimSpace(line), " ", 4); len(f) == 4 {
			out = append(out, f[3])
		}
	}
	// Only here do we have a right to what belongs to those ids.
	return strings.Join(out, "|"), errors.Join(os.RemoveAll(volume), os.RemoveAll(filepath.Join(dir, "root")))
}

// TestEnsure_subordinateIDs has an ordinary user's pods run as other users, with other groups.
func TestEnsure_subordinateIDs(t *testing.T) {
	if !agenttest.AsUserWithIDs(t) {
		return
	}
	p := newPlace(t)
	p.daemon(t, p.ensure(t))
	if got, want := p.say(t, "ids "+p.box), "1000|2000|2000 3000|1000:3000|not root"; got != want {
		log, _ := os.ReadFile(filepath.Join(p.data, "hold.log"))
		t.Errorf("the container says %q, want %q; the holder said %q", got, want, log)
	}
}
