//go:build linux

package cri

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// What a kubelet sends is in order. Whoever else reaches the socket gets an
// answer, too, and nothing happens outside of where it belongs.

const maxHostname = 64

// checkSandboxConfig refuses what no kubelet sends for a pod.
func (s *Server) checkSandboxConfig(cfg *runtimeapi.PodSandboxConfig) error {
	m := cfg.GetMetadata()
	lines := append(cfg.GetDnsConfig().GetServers(), cfg.GetDnsConfig().GetSearches()...)
	lines = append(lines, cfg.GetDnsConfig().GetOptions()...)
	var err error
	switch {
	case m == nil || m.GetName() == "" || m.GetNamespace() == "" || m.GetUid() == "":
		err = errors.New("metadata without name, namespace or uid")
	case !filepath.IsLocal(m.GetUid()) || strings.Contains(m.GetUid(), "/"):
		// It names the pod's folder of the kubelet, from which volumes may come.
		err = fmt.Errorf("uid %q", m.GetUid())
	case len(cfg.GetHostname()) > maxHostname || strings.ContainsAny(cfg.GetHostname(), "\x00\n/"):
		err = fmt.Errorf("hostname %q", cfg.GetHostname())
	case strings.ContainsAny(strings.Join(lines, ""), "\x00\n"):
		err = fmt.Errorf("DNS configuration %q", lines)
	default:
		err = s.checkLogDirectory(cfg.GetLogDirectory())
	}
	if err != nil {
		return status.Errorf(codes.InvalidArgument, "pod sandbox %s/%s: %v", m.GetNamespace(), m.GetName(), err)
	}
	return nil
}

// checkLogDirectory keeps logs where those of pods lie.
func (s *Server) checkLogDirectory(dir string) error {
	if dir == "" {
		return nil
	}
	rel, err := filepath.Rel(s.cfg.PodLogsDir, dir)
	if err != nil || !filepath.IsAbs(dir) || !filepath.IsLocal(rel) || strings.Contains(dir, "\x00") {
		return fmt.Errorf("log directory %q does not lie below %s", dir, s.cfg.PodLogsDir)
	}
	return nil
}

// checkContainerConfig refuses what no kubelet sends for a container.
func checkContainerConfig(cfg *runtimeapi.ContainerConfig) error {
	if cfg.GetMetadata().GetName() == "" {
		return status.Error(codes.InvalidArgument, "container: metadata without name")
	}
	err := errors.Join(checkPaths(cfg), checkStrings(cfg), checkIDs(cfg.GetLinux().GetSecurityContext()))
	if err != nil {
		return status.Errorf(codes.InvalidArgument, "container %s: %v", cfg.GetMetadata().GetName(), err)
	}
	return nil
}

func checkPaths(cfg *runtimeapi.ContainerConfig) error {
	if p := cfg.GetLogPath(); p != "" && !filepath.IsLocal(p) {
		return fmt.Errorf("log path %q leads out of the pod's log directory", p)
	}
	if p := cfg.GetWorkingDir(); p != "" && !filepath.IsAbs(p) {
		return fmt.Errorf("working directory %q is not absolute", p)
	}
	for _, m := range cfg.GetMounts() {
		if !filepath.IsAbs(m.GetContainerPath()) || m.GetImage().GetImage() == "" && !filepath.IsAbs(m.GetHostPath()) {
			return fmt.Errorf("mount of %q at %q: both paths must be absolute", m.GetHostPath(), m.GetContainerPath())
		}
	}
	for _, d := range cfg.GetDevices() {
		if !filepath.IsAbs(d.GetContainerPath()) || !filepath.IsAbs(d.GetHostPath()) {
			return fmt.Errorf("device %q at %q: both paths must be absolute", d.GetHostPath(), d.GetContainerPath())
		}
	}
	return nil
}

// checkStrings finds what the kernel cannot pass to a program.
func checkStrings(cfg *runtimeapi.ContainerConfig) error {
	all := append([]string{cfg.GetWorkingDir(), cfg.GetLogPath()}, cfg.GetCommand()...)
	all = append(all, cfg.GetArgs()...)
	for _, e := range cfg.GetEnvs() {
		if e.GetKey() == "" || strings.Contains(e.GetKey(), "=") {
			return fmt.Errorf("name %q of an environment variable", e.GetKey())
		}
		all = append(all, e.GetKey(), string(e.GetValue()))
	}
	for _, m := range cfg.GetMounts() {
		all = append(all, m.GetContainerPath(), m.GetHostPath())
	}
	for _, s := range all {
		if strings.Contains(s, "\x00") {
			return fmt.Errorf("%q holds a NUL byte", s)
		}
	}
	return nil
}

// checkIDs refuses users and groups that do not exist; the last number means "none" to the kernel.
func checkIDs(sc *runtimeapi.LinuxContainerSecurityContext) error {
	ids := append([]int64{sc.GetRunAsUser().GetValue(), sc.GetRunAsGroup().GetValue()}, sc.GetSupplementalGroups()...)
	for _, id := range ids {
		if id < 0 || id >= math.MaxUint32 {
			return fmt.Errorf("user or group %d is not between 0 and %d", id, uint32(math.MaxUint32-1))
		}
	}
	return nil
}

// seconds bounds a time that somebody sent, so that it does not overflow.
func seconds(n int64) time.Duration {
	const most = math.MaxInt64 / int64(time.Second)
	return time.Duration(min(max(n, 0), most)) * time.Second
}
