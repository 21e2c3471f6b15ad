//go:build linux

package cri

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/kiwerk/kiwerk/internal/cluster/seccomp"
)

// maxProfile is far above the largest seccomp profile that anybody uses.
const maxProfile = 1 << 20

// seccompFor compiles the filter of system calls that a container asks for.
func seccompFor(p *runtimeapi.SecurityProfile, caps []uintptr) ([]byte, error) {
	switch p.GetProfileType() {
	case runtimeapi.SecurityProfile_RuntimeDefault:
		if p == nil {
			return nil, nil
		}
		return seccomp.Default(caps).Compile()
	case runtimeapi.SecurityProfile_Localhost:
		filter, err := profileFrom(p.GetLocalhostRef())
		if err != nil {
			return nil, fmt.Errorf("seccomp profile %s: %w", p.GetLocalhostRef(), err)
		}
		return filter, nil
	case runtimeapi.SecurityProfile_Unconfined:
	}
	return nil, nil
}

// profileFrom reads a profile that lies on the node, where the kubelet says.
func profileFrom(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxProfile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxProfile {
		return nil, fmt.Errorf("larger than %d bytes", maxProfile)
	}
	p, err := seccomp.Parse(data)
	if err != nil {
		return nil, err
	}
	return p.Compile()
}

// masks are the places that a new container must not see.
func (s *Server) masks() []string {
	if s.cfg.Neighbours == nil {
		return s.cfg.Masks
	}
	all := slices.Concat(s.cfg.Masks, s.cfg.Neighbours())
	slices.Sort(all)
	return slices.Compact(all)
}

// checkSecurity refuses what the runtime does not do. SELinux labels are no part
// of it: as with other runtimes they mean nothing where processes are not labelled.
func checkSecurity(cfg *runtimeapi.ContainerConfig, sc *runtimeapi.LinuxContainerSecurityContext) error {
	switch {
	case sc.GetApparmor().GetProfileType() == runtimeapi.SecurityProfile_Localhost:
		return fmt.Errorf("AppArmor profile %q: profiles from files are not supported here", sc.GetApparmor().GetLocalhostRef())
	case len(cfg.GetCDIDevices()) > 0:
		return fmt.Errorf("CDI device %s: the Container Device Interface is not supported here", cfg.GetCDIDevices()[0].GetName())
	}
	return checkNamespaces(sc.GetNamespaceOptions())
}

func isPtrace(name string) bool {
	return strings.TrimPrefix(strings.ToUpper(name), "CAP_") == "SYS_PTRACE"
}

func checkNamespaces(n *runtimeapi.NamespaceOption) error {
	if n.GetUsernsOptions() != nil && n.GetUsernsOptions().GetMode() == runtimeapi.NamespaceMode_POD {
		return errors.New("hostUsers: false is not supported here")
	}
	return nil
}

// checkSandbox refuses what concerns a whole pod.
func checkSandbox(cfg *runtimeapi.PodSandboxConfig, handler string) error {
	sc := cfg.GetLinux().GetSecurityContext()
	fail := func(format string, args ...any) error {
		return status.Errorf(codes.InvalidArgument, "pod %s/%s: "+format,
			append([]any{cfg.GetMetadata().GetNamespace(), cfg.GetMetadata().GetName()}, args...)...)
	}
	if handler != "" {
		return fail("runtime class handler %q does not exist here; leave runtimeClassName out", handler)
	}
	if err := checkNamespaces(sc.GetNamespaceOptions()); err != nil {
		return fail("%v", err)
	}
	return nil
}
