//go:build linux

package leftover

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Cluster says whose leftovers are looked for. Both paths are real ones, without symbolic links.
type Cluster struct {
	DataDir    string
	RuntimeDir string
}

// Folders of a data directory that the cluster mounts somewhere.
var mounted = []string{"kubelet", "runtime", "ns", "nodes"}

// Role is what a process was to its cluster.
type Role string

// Roles in the order in which they are ended: nobody starts again what was ended before.
const (
	Launcher  Role = "launcher"
	Daemon    Role = "daemon"
	Holder    Role = "holder"
	Shim      Role = "shim"
	Init      Role = "init"
	Container Role = "container"
)

var order = []Role{Launcher, Daemon, Holder, Shim, Init, Container}

// Process is one that belongs to the cluster.
type Process struct {
	PID   int
	Start uint64 // with the pid it names the process for good
	Role  Role
	// Command is its command line, shortened.
	Command string
}

// Processes lists those of the cluster but the caller and its ancestors.
func (c Cluster) Processes() ([]Process, error) {
	own, err := mountNamespace("self")
	if err != nil {
		return nil, fmt.Errorf("look for processes of %s: %w", c.DataDir, err)
	}
	roots, err := c.roots()
	if err != nil {
		return nil, fmt.Errorf("look for processes of %s: %w", c.DataDir, err)
	}
	names, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	spare := ancestors()
	seen := map[string]bool{} // mount namespaces by whether they are the cluster's
	var list []Process
	for _, n := range names {
		pid, err := strconv.Atoi(n.Name())
		if err != nil || spare[pid] {
			continue
		}
		o := observe(pid)
		if o.start == 0 {
			continue // a kernel thread, or gone
		}
		ns, err := mountNamespace(n.Name())
		if err == nil && ns != own {
			if _, known := seen[ns]; !known {
				seen[ns] = mountsInto(readMounts(pid), roots)
			}
			o.inside = seen[ns]
		}
		if role := c.role(o); role != "" {
			list = append(list, Process{PID: pid, Start: o.start, Role: role, Command: shorten(o.args)})
		}
	}
	slices.SortFunc(list, func(a, b Process) int {
		if d := slices.Index(order, a.Role) - slices.Index(order, b.Role); d != 0 {
			return d
		}
		return a.PID - b.PID
	})
	return list, nil
}

// observed is what is known of one process.
type observed struct {
	args   []string
	files  []string // that it has open
	start  uint64
	inside bool // in a mount namespace of the cluster
}

func observe(pid int) observed {
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	line, err := os.ReadFile(filepath.Join(dir, "cmdline"))
	if err != nil || len(line) == 0 {
		return observed{}
	}
	o := observed{args: strings.Split(strings.TrimRight(string(line), "\x00"), "\x00"), start: startOf(pid)}
	if len(o.args) < 2 || filepath.Base(o.args[0]) != program {
		return o // only our own program is asked what it has open
	}
	fds, err := os.ReadDir(filepath.Join(dir, "fd"))
	if err != nil {
		return o
	}
	for _, fd := range fds {
		if to, err := os.Readlink(filepath.Join(dir, "fd", fd.Name())); err == nil {
			o.files = append(o.files, strings.TrimSuffix(to, " (deleted)"))
		}
	}
	return o
}

// Names of our programs, as processes have them.
const (
	program = "kiwerk"
	agent   = "kiwerk-agent"
	lock    = "lock"
)

// role decides what a process is to the cluster; "" if nothing.
func (c Cluster) role(o observed) Role {
	arg := func(i int) string {
		if i < len(o.args) {
			return o.args[i]
		}
		return ""
	}
	name := filepath.Base(arg(0))
	switch {
	case name == agent && arg(1) == "hold" && (arg(2) == c.RuntimeDir || arg(3) == c.DataDir):
		return Holder
	case name == agent && arg(1) == "shim" && within(arg(2), c.DataDir):
		return Shim
	case name == agent && arg(1) == "init" && o.inside:
		return Init
	case name == program && slices.Contains(o.files, filepath.Join(c.DataDir, lock)):
		if arg(1) == "internal" {
			return Daemon
		}
		return Launcher
	case name == program && arg(1) == "internal" && o.inside:
		return Daemon // a further node's kubelet
	case o.inside:
		return Container
	}
	return ""
}

func within(path, dir string) bool { return path == dir || strings.HasPrefix(path, dir+"/") }

func shorten(args []string) string {
	const most = 60
	s := strings.Join(args, " ")
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}

// ancestors are this process and those that it comes from.
func ancestors() map[int]bool {
	set := map[int]bool{}
	for pid := os.Getpid(); pid > 0 && !set[pid]; {
		set[pid] = true
		f := statFields(pid)
		if len(f) < 2 {
			break
		}
		pid, _ = strconv.Atoi(f[1]) // 0 ends the walk
	}
	return set
}

// statFields are those of /proc/PID/stat after the name.
func statFields(pid int) []string {
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return nil
	}
	return strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
}

// startOf is when a process was started, in ticks since boot; 0 if it is gone or a zombie.
func startOf(pid int) uint64 {
	const state, start = 0, 22 - 3
	f := statFields(pid)
	if len(f) <= start || f[state] == "Z" || f[state] == "X" {
		return 0
	}
	n, err := strconv.ParseUint(f[start], 10, 64)
	if err != nil {
		return 0
	}
	return n
}

func mountNamespace(pid string) (string, error) {
	return os.Readlink(filepath.Join("/proc", pid, "ns", "mnt"))
}
