package cri

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/kiwerk/kiwerk/internal/cluster/rootfs"
)

// ownFolders are those that every container gets anew instead of the host's.
var ownFolders = []string{"/tmp", "/var/tmp", "/run"}

// pythonVolume shows the Python environment to containers if it lies in a
// folder that they have of their own: a project may be checked out below /tmp.
func pythonVolume(pythonDir string) []rootfs.Volume {
	if filepath.Base(pythonDir) != "bin" {
		return nil
	}
	env := filepath.Dir(pythonDir)
	for _, own := range ownFolders {
		if !strings.HasPrefix(env, own+"/") {
			continue
		}
		if _, err := os.Stat(env); err != nil {
			return nil // a configured interpreter that is gone shows when it is run
		}
		return []rootfs.Volume{{Source: env, Dest: env, ReadOnly: true}}
	}
	return nil
}
