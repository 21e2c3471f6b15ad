//go:build linux

package local

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/kiwerk/kiwerk/internal/cluster/cgroup"
	"github.com/kiwerk/kiwerk/internal/cluster/cri"
)

// cgroupRoot is where the hierarchies are mounted.
const cgroupRoot = "/sys/fs/cgroup"

// savedCgroups are those that the last daemon has written down, as far as they are still there.
func savedCgroups(dataDir string) (cgroup.Group, error) {
	g, err := cgroup.Saved(filepath.Join(dataDir, runtimeStateDir, cri.CgroupsFile))
	if err != nil {
		return nil, err
	}
	for controller, dir := range g {
		if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
			delete(g, controller)
		}
	}
	return g, nil
}

// namedCgroups are those of a data directory by their name, for records that are damaged or gone.
func namedCgroups(dataDir string) cgroup.Group {
	g := cgroup.Group{}
	name := cri.CgroupName(filepath.Join(dataDir, runtimeStateDir))
	_ = filepath.WalkDir(cgroupRoot, func(at string, e fs.DirEntry, err error) error {
		switch {
		case err != nil || !e.IsDir():
			return nil //nolint:nilerr // Groups vanish while they are walked, and not all can be read.
		case e.Name() == name:
			g[at] = at
			return fs.SkipDir
		}
		return nil
	})
	return g
}

// removeCgroups removes what an ended platform has left; everything in it is killed.
func removeCgroups(g cgroup.Group) error {
	if err := g.Remove(); err != nil {
		return fmt.Errorf("remove the cgroups of pods: %w", err)
	}
	return nil
}
