package cri

import (
	"path/filepath"
	"slices"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/kiwerk/kiwerk/internal/cluster/devices/gpu"
	"github.com/kiwerk/kiwerk/internal/cluster/rootfs"
)

// addGPUs gives a container with simulated GPUs the program that shows them;
// of real ones it gets the device files, as the device plugin says, and the
// host's own programs.
func addGPUs(root *rootfs.Spec, binDir string, cfg *runtimeapi.ContainerConfig) {
	simulated := func(e *runtimeapi.KeyValue) bool { return e.GetKey() == gpu.EnvSimulated }
	if slices.ContainsFunc(cfg.GetEnvs(), simulated) {
		root.Programs["nvidia-smi"] = filepath.Join(binDir, "kiwerk-nvidia-smi")
	}
}
