//go:build linux

package leftover

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// mount is one line of a mountinfo, as far as it is needed here.
type mount struct {
	device string // major:minor
	root   string // of the mount in its file system
	point  string
	super  string // options of the file system
}

// parseMounts reads the format of /proc/PID/mountinfo (proc_pid_mountinfo(5));
// lines that are not of it are left out.
func parseMounts(text string) []mount {
	var list []mount
	for line := range strings.Lines(text) {
		before, after, ok := strings.Cut(line, " - ")
		left, right := strings.Fields(before), strings.Fields(after)
		if !ok || len(left) < 6 || len(right) < 3 {
			continue
		}
		list = append(list, mount{device: left[2], root: unescape(left[3]), point: unescape(left[4]), super: unescape(right[2])})
	}
	return list
}

var escapes = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

func unescape(s string) string { return escapes.Replace(s) }

func readMounts(pid int) []mount {
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "mountinfo"))
	if err != nil {
		return nil // gone, or not ours to see
	}
	return parseMounts(string(b))
}

// root is a folder as its file system knows it.
type root struct{ device, path string }

// roots are the folders that the cluster mounts, as file systems know them.
func (c Cluster) roots() ([]root, error) {
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	at, ok := locate(parseMounts(string(b)), c.DataDir)
	if !ok {
		return nil, fmt.Errorf("%s lies on no mount", c.DataDir)
	}
	var list []root
	for _, name := range mounted {
		list = append(list, root{at.device, filepath.Join(at.path, name)}, root{"", filepath.Join(c.DataDir, name)})
	}
	return list, nil
}

// locate finds the file system of a path and its name there; the last mount over a point counts.
func locate(mounts []mount, path string) (root, bool) {
	var best mount
	for _, m := range mounts {
		if (m.point == "/" || within(path, m.point)) && len(m.point) >= len(best.point) {
			best = m
		}
	}
	if best.point == "" {
		return root{}, false
	}
	return root{best.device, filepath.Join(best.root, strings.TrimPrefix(path, best.point))}, true
}

// mountsInto tells whether one of the mounts shows one of the roots, or is an overlay with a layer below one.
func mountsInto(mounts []mount, roots []root) bool {
	for _, m := range mounts {
		for _, r := range roots {
			if r.device != "" && m.device == r.device && within(strings.TrimSuffix(m.root, "//deleted"), r.path) {
				return true
			}
			if r.device == "" && strings.Contains(m.super, "dir="+r.path+"/") {
				return true
			}
		}
	}
	return false
}

// Mounts lists what the cluster has left mounted in this mount namespace,
// deepest first. Its own are in its holder's; these are of a crash between two steps.
func (c Cluster) Mounts() []string {
	var points []string
	for _, m := range readMounts(os.Getpid()) {
		if within(m.point, c.RuntimeDir) {
			points = append([]string{m.point}, points...)
		}
		for _, name := range mounted {
			if within(m.point, filepath.Join(c.DataDir, name)) {
				points = append([]string{m.point}, points...)
			}
		}
	}
	return points
}

func unmount(points []string) error {
	var errs []error
	for _, p := range points {
		if err := unix.Unmount(p, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) {
			errs = append(errs, fmt.Errorf("unmount %s: %w", p, err))
		}
	}
	return errors.Join(errs...)
}
