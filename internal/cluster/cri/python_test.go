package cri

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kiwerk/kiwerk/internal/cluster/rootfs"
)

func TestPythonVolume(t *testing.T) {
	env, err := os.MkdirTemp("/tmp", "python-volume-") //nolint:usetesting // It has to lie below /tmp.
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(env) }) // empty
	cases := map[string]struct {
		dir  string
		want []rootfs.Volume
	}{
		"BelowTmp":      {filepath.Join(env, "bin"), []rootfs.Volume{{Source: env, Dest: env, ReadOnly: true}}},
		"SeenAnyway":    {"/usr/bin", nil},
		"Gone":          {"/tmp/python-volume-gone/bin", nil},
		"NoEnvironment": {"/tmp/python", nil},
		"None":          {"", nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, pythonVolume(c.dir)); diff != "" {
				t.Error(diff)
			}
		})
	}
}
