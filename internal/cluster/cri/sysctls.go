//go:build linux

package cri

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/kiwerk/kiwerk/internal/cluster/network"
)

// sysctls of a pod, by the namespace that they belong to. The kubelet writes names with dots.
type sysctls struct{ Net, IPC map[string]string }

// sysctlsOf sorts what a pod asks for and refuses what would not be its own.
func (s *Server) sysctlsOf(cfg *runtimeapi.PodSandboxConfig) (sysctls, error) {
	list := sysctls{map[string]string{}, map[string]string{}}
	var foreign []string
	for name, value := range cfg.GetLinux().GetSysctls() {
		switch {
		case strings.HasPrefix(name, "net."):
			list.Net[name] = value
		case ipcSysctl.MatchString(name):
			list.IPC[name] = value
		default:
			foreign = append(foreign, name)
		}
	}
	options := cfg.GetLinux().GetSecurityContext().GetNamespaceOptions()
	switch {
	case len(foreign) > 0:
		slices.Sort(foreign)
		return list, fmt.Errorf("sysctls %s cannot be set for a pod: only those of its network (net.*) and of its IPC (kernel.shm*, kernel.msg*, kernel.sem, fs.mqueue.*) are its own", strings.Join(foreign, ", "))
	case len(list.Net) > 0 && (s.cfg.Network == nil || options.GetNetwork() == runtimeapi.NamespaceMode_NODE):
		return list, fmt.Errorf("sysctls %s cannot be set for a pod without a network of its own", strings.Join(slices.Sorted(maps.Keys(list.Net)), ", "))
	case len(list.IPC) > 0 && options.GetIpc() == runtimeapi.NamespaceMode_NODE:
		return list, fmt.Errorf("sysctls %s cannot be set for a pod with hostIPC", strings.Join(slices.Sorted(maps.Keys(list.IPC)), ", "))
	}
	return list, network.CheckSysctls(list.Net)
}

var ipcSysctl = regexp.MustCompile(`^(kernel\.(sem|(shm|msg)[a-z_]*)|fs\.mqueue\.[a-z_]+)$`)

// setSysctls sets switches of the calling thread's namespaces.
func setSysctls(values map[string]string) error {
	root, err := os.OpenRoot("/proc/sys")
	if err != nil {
		return err
	}
	defer root.Close()
	for _, name := range slices.Sorted(maps.Keys(values)) {
		err := root.WriteFile(strings.ReplaceAll(name, ".", "/"), []byte(values[name]), 0o644)
		switch {
		case errors.Is(err, os.ErrPermission):
			return fmt.Errorf("set sysctl %s to %q: %w; for an ordinary user this needs Linux 6.9", name, values[name], err)
		case err != nil:
			return fmt.Errorf("set sysctl %s to %q: %w", name, values[name], err)
		}
	}
	return nil
}
