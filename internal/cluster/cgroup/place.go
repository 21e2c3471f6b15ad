//go:build linux

package cgroup

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/kiwerk/kiwerk/internal/cluster/rootfs"
)

// Controllers that we use. unified stands for all of them in version 2.
const (
	cpu     = "cpu"
	cpuacct = "cpuacct"
	memory  = "memory"
	pids    = "pids"
	unified = "unified"
)

// Lack is what a host does not give.
type Lack int

// What may be lacking.
const (
	LackMount      Lack = iota // a file system in which groups may be made
	LackRoot                   // root, whom version 1 serves only
	LackDelegation             // a directory of version 2 that belongs to us
)

// Unavailable says why containers cannot have groups of their own.
type Unavailable struct {
	Kind Lack
	// Why is the reason, Fix what would help; Fix may be empty.
	Why, Fix string
}

// Error returns reason and remedy.
func (u *Unavailable) Error() string {
	if u.Fix == "" {
		return u.Why
	}
	return u.Why + "; " + u.Fix
}

// Tree is the place for the groups of one cluster.
type Tree struct {
	root Group
	// controllers that version 2 has for us.
	controllers []string
}

// Open finds a place for the tree, makes it and returns it. name is that of its top directory.
func Open(name string) (*Tree, error) {
	mounts, err := mounts()
	if err != nil {
		return nil, err
	}
	f, err := os.Open("/proc/self/cgroup")
	if err != nil {
		return nil, &Unavailable{Why: "the kernel has no cgroups"}
	}
	defer f.Close()
	own, err := parseOwn(f)
	if err != nil {
		return nil, err
	}
	here := locate(mounts, own)
	switch {
	case here[memory] != "" || here[pids] != "" || here[cpu] != "":
		delete(here, unified)
		return openV1(here, name)
	case here[unified] != "":
		return openV2(here[unified], mountOf(mounts, here[unified]), name)
	}
	return nil, &Unavailable{Why: "no cgroup file system is mounted below /sys/fs/cgroup"}
}

func mounts() ([]rootfs.Mount, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("read mounts: %w", err)
	}
	defer f.Close()
	return rootfs.ParseMounts(f)
}

// parseOwn reads /proc/self/cgroup: the own path by controller (cgroups(7)).
func parseOwn(r io.Reader) (map[string]string, error) {
	own := map[string]string{}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		id, rest, ok := strings.Cut(lines.Text(), ":")
		names, at, ok2 := strings.Cut(rest, ":")
		if !ok || !ok2 || !strings.HasPrefix(at, "/") {
			return nil, fmt.Errorf("/proc/self/cgroup: unexpected line %q", lines.Text())
		}
		if id == "0" {
			own[unified] = at
			continue
		}
		for _, name := range strings.Split(names, ",") {
			own[name] = at
		}
	}
	return own, lines.Err()
}

// locate returns the directory of the own group by controller.
func locate(mounts []rootfs.Mount, own map[string]string) map[string]string {
	here := map[string]string{}
	for _, m := range mounts {
		switch m.FSType {
		case "cgroup2":
			here[unified] = below(m, own[unified])
		case "cgroup":
			for _, name := range []string{cpu, cpuacct, memory, pids} {
				if slices.Contains(strings.Split(m.Options, ","), name) {
					here[name] = below(m, own[name])
				}
			}
		}
	}
	return here
}

// below translates a path of the hierarchy into one of the file system. A
// group outside of what is mounted (a container that sees only its own) is the top.
func below(m rootfs.Mount, at string) string {
	rest, inside := strings.CutPrefix(path.Clean(at), strings.TrimSuffix(m.Root, "/"))
	if !inside || strings.HasPrefix(rest, "/..") || rest != "" && rest[0] != '/' {
		return m.Point
	}
	return path.Join(m.Point, rest)
}

func mountOf(mounts []rootfs.Mount, dir string) string {
	for _, m := range mounts {
		if m.FSType == "cgroup2" && (dir == m.Point || strings.HasPrefix(dir, m.Point+"/")) {
			return m.Point
		}
	}
	return dir
}

func openV1(here map[string]string, name string) (*Tree, error) {
	t := &Tree{root: Group{}}
	for controller, dir := range here {
		t.root[controller] = filepath.Join(dir, name)
		if err := mkdir(t.root[controller]); err != nil {
			return nil, &Unavailable{
				Kind: LackRoot,
				Why:  fmt.Sprintf("the cgroup %s cannot be made: %v", t.root[controller], errors.Unwrap(err)),
				Fix:  "version 1 of cgroups serves only root; run `kiwerk up` as root, or start the host with version 2 (kernel argument systemd.unified_cgroup_hierarchy=1)",
			}
		}
	}
	return t, nil
}

// openV2 looks for a directory from the own one upwards below which we may make groups with controllers.
func openV2(own, top, name string) (*Tree, error) {
	var why error
	for dir := own; ; dir = path.Dir(dir) {
		t, err := tryV2(dir, name)
		if err == nil {
			return t, nil
		}
		why = errors.Join(why, err)
		if dir == top || dir == "/" {
			break
		}
	}
	kind, fix := LackDelegation, "start it with `systemd-run --user --scope -p Delegate=yes kiwerk up …`"
	if os.Geteuid() == 0 && !rootfs.InUserNamespace() {
		kind, fix = LackMount, "in a container start that with `--cgroupns=host` and /sys/fs/cgroup writable"
	}
	return nil, &Unavailable{Kind: kind, Why: "no cgroup is delegated to Kiwerk: " + strings.ReplaceAll(why.Error(), "\n", ", "), Fix: fix}
}

func tryV2(dir, name string) (*Tree, error) {
	have, err := words(filepath.Join(dir, "cgroup.controllers"))
	if err != nil {
		return nil, err
	}
	var use []string
	for _, c := range []string{cpu, memory, pids} {
		if slices.Contains(have, c) {
			use = append(use, c)
		}
	}
	if !slices.Contains(use, memory) && !slices.Contains(use, pids) {
		return nil, fmt.Errorf("%s has neither the memory nor the pids controller", dir)
	}
	// To move a process from below dir to another place below dir.
	if err := unix.Access(filepath.Join(dir, "cgroup.procs"), unix.W_OK); err != nil {
		return nil, &os.PathError{Op: "move processes in", Path: dir, Err: err}
	}
	if err := enable(dir, use); err != nil {
		return nil, err
	}
	root := filepath.Join(dir, name)
	if err := mkdir(root); err != nil {
		return nil, err
	}
	return &Tree{root: Group{unified: root}, controllers: use}, enable(root, use)
}

// enable lets the children of dir use controllers.
func enable(dir string, use []string) error {
	file := filepath.Join(dir, "cgroup.subtree_control")
	on, err := words(file)
	if err != nil {
		return err
	}
	var missing []string
	for _, c := range use {
		if !slices.Contains(on, c) {
			missing = append(missing, "+"+c)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return write(file, strings.Join(missing, " "))
}

func words(file string) ([]string, error) {
	data, err := os.ReadFile(file)
	return strings.Fields(string(data)), err
}

func mkdir(dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return nil
}

// write does not create files: those of the kernel exist or do not.
func write(file, value string) error {
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	return errors.Join(err, f.Close())
}
