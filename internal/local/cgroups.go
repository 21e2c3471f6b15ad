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
	"github.com/kiwerk/kiwerk/internal/config"
)

// cgroupRoot is where the hierarchies are mounted.
const cgroupRoot = "/sys/fs/cgroup"

// savedCgroups are those that the last daemon has written down, as far as they are still there.
func savedCgroups(dataDir string) (cgroup.Group, error) {
	all := cgroup.Group{}
	for _, state := range runtimeStates(dataDir) {
		g, err := cgroup.Saved(filepath.Join(state, cri.CgroupsFile))
		if err != nil {
			return nil, err
		}
		for _, dir := range g {
			if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
				all[dir] = dir
			}
		}
	}
	return all, nil
}

// namedCgroups are those of a data directory by their name, for records that are damaged or gone.
func namedCgroups(dataDir string) cgroup.Group {
	g := cgroup.Group{}
	names := map[string]bool{}
	for number := 1; number <= config.MaxNodes; number++ {
		names[cri.CgroupName(runtimeStateOf(dataDir, number))] = true
	}
	_ = filepath.WalkDir(cgroupRoot, func(at string, e fs.DirEntry, err error) error {
		switch {
		case err != nil || !e.IsDir():
			return nil //nolint:nilerr // Groups vanish while they are walked, and not all can be read.
		case names[e.Name()]:
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
