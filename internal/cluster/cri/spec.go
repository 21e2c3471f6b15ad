//go:build linux

package cri

import (
	"context"
	"fmt"
	"net"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/kiwerk/kiwerk/internal/cluster/ids"
	"github.com/kiwerk/kiwerk/internal/cluster/rootfs"
	"github.com/kiwerk/kiwerk/internal/cluster/shim"
)

const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// keepOwnOwner lets GNU tar, with which `kubectl cp` unpacks, leave files to
// the container's user. It would give them to those who own them on the other
// side, as root does, and fail where they do not exist.
const keepOwnOwner = "--no-same-owner"

// specFor turns what the kubelet wants into what the shim does, or says why it cannot be done.
func (s *Server) specFor(ctx context.Context, id string, b *sandbox, cfg *runtimeapi.ContainerConfig) (shim.Spec, Taken, error) {
	fail := func(err error) (shim.Spec, Taken, error) {
		return shim.Spec{}, Taken{}, status.Errorf(codes.InvalidArgument, "container %s: %v", cfg.GetMetadata().GetName(), err)
	}
	taken, err := s.takenFor(ctx, cfg.GetImage())
	if err != nil {
		return shim.Spec{}, Taken{}, err
	}
	if taken.stored != nil {
		if cfg, err = withImage(&taken, cfg); err != nil {
			return fail(err)
		}
	}
	args, err := taken.command(imageName(cfg.GetImage()), cfg.GetCommand(), cfg.GetArgs())
	if err != nil {
		return fail(err)
	}
	proc, err := processFor(cfg, rootfs.InUserNamespace())
	if err != nil {
		return fail(err)
	}
	proc.Args, proc.Env = args, s.environment(b, cfg)
	volumes, err := s.volumesFor(ctx, cfg.GetMounts())
	if err != nil {
		return fail(err)
	}
	root := rootfs.Spec{
		Scratch: filepath.Join(s.containerDir(id), "root"), Volumes: append(pythonVolume(s.cfg.PythonDir), volumes...),
		Masks: s.masks(), Allowed: append(slices.Clone(s.cfg.VolumeDirs), filepath.Join(s.cfg.KubeletDir, "pods", b.UID)),
		Files: map[string]string{}, Programs: map[string]string{"kiwerk-agent": s.cfg.AgentPath},
		ReadOnly: cfg.GetLinux().GetSecurityContext().GetReadonlyRootfs(),
	}
	addGPUs(&root, s.cfg.BinDir, cfg)
	for _, d := range cfg.GetDevices() {
		root.Devices = append(root.Devices, rootfs.Device{Source: d.GetHostPath(), Dest: d.GetContainerPath()})
	}
	if taken.Path != "" {
		root.Programs[filepath.Base(taken.Path)] = taken.Path
		for _, library := range librariesOf(taken.Path) {
			root.Programs[filepath.Base(library)] = library
		}
	}
	if b.ResolvConf != "" {
		root.Files["/etc/resolv.conf"] = b.ResolvConf
	}
	if b.Hostname != "" {
		root.Files["/etc/hostname"] = b.Hostname + "\n"
	}
	shared, err := s.namespacesFor(b, cfg.GetLinux().GetSecurityContext().GetNamespaceOptions(), &root)
	if err != nil {
		return fail(err)
	}
	if taken.stored != nil {
		if err := s.intoImage(&root, taken.stored, volumes, b.Hostname); err != nil {
			return fail(err)
		}
	}
	c := container{record: record{Annotations: cfg.GetAnnotations()}}
	var processes uint64
	if s.groups == nil && rootfs.InUserNamespace() {
		processes = allPids // real root would count what else runs as root
	}
	spec := shim.Spec{
		ID: id, Process: proc, Root: root, Hostname: b.Hostname, NetNS: b.NetNS,
		LogPath: logPath(b, cfg), Socket: filepath.Join(s.socketDir(), id[:16]),
		Stdin: cfg.GetStdin(), StdinOnce: cfg.GetStdinOnce(),
		StopSignal: signalNumber(cfg.GetStopSignal()), Grace: c.grace(),
		OOMScoreAdj: int(cfg.GetLinux().GetResources().GetOomScoreAdj()), Processes: processes, Namespaces: shared,
	}
	if err := s.joinProcesses(b, cfg.GetLinux().GetSecurityContext(), &spec); err != nil {
		return fail(err)
	}
	return spec, taken, nil
}

// librariesOf are those that a program of ours loads when it runs (ONNX
// Runtime). They lie in lib beside it and appear beside it in the container.
func librariesOf(program string) []string {
	list, err := filepath.Glob(filepath.Join(filepath.Dir(program), "lib", "*.so*"))
	if err != nil {
		return nil // only a malformed pattern is an error
	}
	return list
}

// environment is what every container gets, then what the pod says. On the
// host's network the address of the API server is ours alone: the service
// address that the kubelet writes there does not exist.
func (s *Server) environment(b *sandbox, cfg *runtimeapi.ContainerConfig) []string {
	// Our programs come last, so that an image's command finds them by name and nothing else is hidden.
	programs := defaultPath + ":" + rootfs.ProgramDir
	env := map[string]string{
		"PATH": programs, "HOME": rootfs.Home, "HOSTNAME": b.Hostname,
	}
	if b.Port != 0 {
		env["PORT"] = strconv.Itoa(b.Port)
	}
	if s.cfg.PythonDir != "" {
		env["PATH"] = s.cfg.PythonDir + ":" + programs
	}
	if cfg.GetTty() {
		env["TERM"] = "xterm"
	}
	if s.oneID {
		env["TAR_OPTIONS"] = keepOwnOwner
	}
	for k, v := range s.cfg.Env {
		env[k] = v
	}
	for _, e := range cfg.GetEnvs() {
		env[e.GetKey()] = string(e.GetValue())
	}
	if host, port, err := net.SplitHostPort(s.cfg.APIAddress); err == nil && s.cfg.Network == nil {
		env["KUBERNETES_SERVICE_HOST"], env["KUBERNETES_SERVICE_PORT"], env["KUBERNETES_SERVICE_PORT_HTTPS"] = host, port, port
	}
	list := make([]string, 0, len(env))
	for k, v := range env {
		list = append(list, k+"="+v)
	}
	slices.Sort(list)
	return list
}

func (s *Server) volumesFor(ctx context.Context, mounts []*runtimeapi.Mount) ([]rootfs.Volume, error) {
	var list []rootfs.Volume
	for _, m := range mounts {
		if m.GetImage().GetImage() != "" {
			v, err := s.imageVolume(ctx, m)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
			continue
		}
		if m.GetPropagation() == runtimeapi.MountPropagation_PROPAGATION_BIDIRECTIONAL {
			return nil, fmt.Errorf("volume at %s: mountPropagation Bidirectional is not supported here: what a container mounts stays its own", m.GetContainerPath())
		}
		if len(m.GetUidMappings()) > 0 || len(m.GetGidMappings()) > 0 {
			return nil, fmt.Errorf("volume at %s: id-mapped mounts (hostUsers: false) are not supported here", m.GetContainerPath())
		}
		list = append(list, rootfs.Volume{
			Source: m.GetHostPath(), Dest: m.GetContainerPath(), ReadOnly: m.GetReadonly(),
			FollowHost: m.GetPropagation() == runtimeapi.MountPropagation_PROPAGATION_HOST_TO_CONTAINER,
		})
	}
	return list, nil
}

// processFor takes over identity and rights, and refuses what cannot be had.
func processFor(cfg *runtimeapi.ContainerConfig, userNS bool) (shim.Process, error) {
	sc := cfg.GetLinux().GetSecurityContext()
	p := shim.Process{Cwd: cfg.GetWorkingDir(), TTY: cfg.GetTty()}
	if err := checkSecurity(cfg, sc); err != nil {
		return p, err
	}
	var err error
	if p.Caps, err = shim.Capabilities(sc.GetCapabilities().GetAddCapabilities(), sc.GetCapabilities().GetDropCapabilities()); err != nil {
		return p, err
	}
	p.NoNewPrivs = sc.GetNoNewPrivs()
	if sc.GetPrivileged() {
		p.Caps = shim.Grantable()
	} else if p.Seccomp, err = seccompFor(sc.GetSeccomp(), p.Caps); err != nil {
		return p, err
	}
	if err := identity(sc, &p); err != nil {
		return p, err
	}
	if userNS {
		return p, ids.Check(ids.Wanted{Users: []uint32{p.UID}, Groups: []uint32{p.GID}, Others: p.Groups})
	}
	return p, nil
}

// identity reads user and groups.
func identity(sc *runtimeapi.LinuxContainerSecurityContext, p *shim.Process) error {
	var account *user.User // as the host knows it, which stands for the image here
	var err error
	switch {
	case sc.GetRunAsUser() != nil:
		p.UID = uint32(sc.GetRunAsUser().GetValue())
		account, err = user.LookupId(strconv.FormatUint(uint64(p.UID), 10))
		if err != nil {
			account = nil // a number without a name is as good
		}
	case sc.GetRunAsUsername() != "":
		if account, err = user.Lookup(sc.GetRunAsUsername()); err != nil {
			return fmt.Errorf("user %q: %w on this host", sc.GetRunAsUsername(), err)
		}
		if p.UID, err = id32(account.Uid); err != nil {
			return err
		}
	}
	if account != nil {
		if p.GID, err = id32(account.Gid); err != nil {
			return err
		}
	}
	if sc.GetRunAsGroup() != nil {
		p.GID = uint32(sc.GetRunAsGroup().GetValue())
	}
	for _, g := range sc.GetSupplementalGroups() {
		p.Groups = append(p.Groups, uint32(g))
	}
	if account == nil || p.UID == 0 || sc.GetSupplementalGroupsPolicy() == runtimeapi.SupplementalGroupsPolicy_Strict {
		return nil
	}
	return mergeGroups(account, p)
}

// mergeGroups adds the groups that the account has on the host.
func mergeGroups(account *user.User, p *shim.Process) error {
	names, err := account.GroupIds()
	if err != nil {
		return fmt.Errorf("groups of user %q: %w", account.Username, err)
	}
	for _, name := range names {
		g, err := id32(name)
		if err != nil {
			return err
		}
		if g != p.GID && !slices.Contains(p.Groups, g) {
			p.Groups = append(p.Groups, g)
		}
	}
	return nil
}

func id32(s string) (uint32, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("id %q of the host: %w", s, err)
	}
	return uint32(n), nil
}

// signalNumber translates the CRI's names.
func signalNumber(s runtimeapi.Signal) int {
	if s == runtimeapi.Signal_SIGNAL_RUNTIME_DEFAULT {
		return 0
	}
	return signalByName(strings.TrimPrefix(s.String(), "SIGNAL_"))
}
