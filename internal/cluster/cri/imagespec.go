//go:build linux

package cri

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/kiwerk/kiwerk/internal/cluster/image"
	"github.com/kiwerk/kiwerk/internal/cluster/rootfs"
)

// withImage fills in what the pod leaves to its image: environment, working
// directory, user and stop signal. What it returns names users by number, as
// the image's accounts have them, so that the host's are not asked.
func withImage(taken *Taken, cfg *runtimeapi.ContainerConfig) (*runtimeapi.ContainerConfig, error) {
	img := taken.stored.Config
	out, ok := proto.Clone(cfg).(*runtimeapi.ContainerConfig)
	if !ok {
		return cfg, nil
	}
	if out.WorkingDir == "" {
		out.WorkingDir = img.WorkingDir
	}
	if out.StopSignal == runtimeapi.Signal_SIGNAL_RUNTIME_DEFAULT {
		out.StopSignal = signalNamed(img.StopSignal)
	}
	who, err := account(taken, out)
	if err != nil {
		return nil, err
	}
	env := map[string]string{"PATH": defaultPath, "HOME": who.Home}
	for _, e := range img.Env {
		name, value, _ := strings.Cut(e, "=")
		env[name] = value
	}
	var list []*runtimeapi.KeyValue
	for _, name := range slices.Sorted(maps.Keys(env)) {
		list = append(list, &runtimeapi.KeyValue{Key: name, Value: []byte(env[name])})
	}
	out.Envs = append(list, out.Envs...)
	return out, nil
}

// account settles who runs: what the pod says, else the image's user.
func account(taken *Taken, cfg *runtimeapi.ContainerConfig) (image.Account, error) {
	if cfg.Linux == nil {
		cfg.Linux = &runtimeapi.LinuxContainerConfig{}
	}
	if cfg.Linux.SecurityContext == nil {
		cfg.Linux.SecurityContext = &runtimeapi.LinuxContainerSecurityContext{}
	}
	sc := cfg.Linux.SecurityContext
	who, err := taken.stored.LookUp(userSpec(taken.stored, sc))
	if err != nil {
		return who, err
	}
	if !userExists(taken.stored) && (who.UID == 0 || sc.RunAsUser == nil) {
		who = image.Account{Home: who.Home}
		taken.What += "; its user " + taken.stored.Config.User + " does not exist in this user namespace, root stands for it"
	}
	if sc.RunAsGroup == nil {
		sc.RunAsGroup = &runtimeapi.Int64Value{Value: int64(who.GID)}
	}
	if sc.GetSupplementalGroupsPolicy() != runtimeapi.SupplementalGroupsPolicy_Strict {
		for _, g := range who.Groups {
			if !slices.Contains(sc.SupplementalGroups, int64(g)) {
				sc.SupplementalGroups = append(sc.SupplementalGroups, int64(g))
			}
		}
	}
	sc.RunAsUser, sc.RunAsUsername = &runtimeapi.Int64Value{Value: int64(who.UID)}, ""
	sc.SupplementalGroupsPolicy = runtimeapi.SupplementalGroupsPolicy_Strict // the host's accounts add none
	return who, nil
}

// userSpec is the user as the image writes it. The kubelet hands back what it
// was told of the image's user, without the group.
func userSpec(i *image.Image, sc *runtimeapi.LinuxContainerSecurityContext) string {
	asked := sc.GetRunAsUsername()
	if sc.GetRunAsUser() != nil {
		asked = strconv.FormatInt(sc.GetRunAsUser().GetValue(), 10)
	}
	own, _, _ := strings.Cut(i.Config.User, ":")
	if asked == "" || asked == own {
		return i.Config.User
	}
	return asked
}

// userExists tells whether the image's user can be had here.
func userExists(i *image.Image) bool {
	who, err := i.LookUp(i.Config.User)
	return err != nil || image.Mapped(who.UID, who.GID) // an error is told when a container is made
}

// imageVolume shows the files of an image, read-only.
func (s *Server) imageVolume(ctx context.Context, m *runtimeapi.Mount) (rootfs.Volume, error) {
	taken, err := s.takenFor(ctx, m.GetImage())
	if err == nil && taken.stored == nil {
		err = fmt.Errorf("a volume needs the image itself, but what is here is %s: load it (kiwerk image load) or pull it (kiwerk image pull)", taken.What)
	}
	if err != nil {
		return rootfs.Volume{}, fmt.Errorf("volume at %s: image %s: %w", m.GetContainerPath(), imageName(m.GetImage()), err)
	}
	return rootfs.Volume{Layers: s.cfg.Images.Trees(taken.stored), SubPath: m.GetImageSubPath(), Dest: m.GetContainerPath(), ReadOnly: true}, nil
}

// signalNamed reads SIGINT, INT or 2.
func signalNamed(name string) runtimeapi.Signal {
	if n, err := strconv.Atoi(name); err == nil {
		for s := range runtimeapi.Signal_name {
			if s != 0 && signalNumber(runtimeapi.Signal(s)) == n {
				return runtimeapi.Signal(s)
			}
		}
		return runtimeapi.Signal_SIGNAL_RUNTIME_DEFAULT
	}
	return runtimeapi.Signal(runtimeapi.Signal_value["SIGNAL_SIG"+strings.TrimPrefix(strings.ToUpper(name), "SIG")])
}

// intoImage turns the specification of a root of the host's into one of the image's.
func (s *Server) intoImage(root *rootfs.Spec, i *image.Image, volumes []rootfs.Volume, hostname string) error {
	root.Layers, root.ImageVolumes, root.Volumes = s.cfg.Images.Trees(i), i.Config.Volumes, volumes
	if _, ok := root.Files["/etc/resolv.conf"]; !ok {
		data, err := os.ReadFile("/etc/resolv.conf")
		if err != nil && !os.IsNotExist(err) {
			return err
		}
		root.Files["/etc/resolv.conf"] = string(data)
	}
	if _, ok := root.Files["/etc/hosts"]; !ok {
		root.Files["/etc/hosts"] = "127.0.0.1 localhost\n::1 localhost\n127.0.1.1 " + hostname + "\n"
	}
	for _, v := range volumes {
		delete(root.Files, v.Dest) // the kubelet brings its own /etc/hosts
	}
	return nil
}
