package rootfs

import (
	"io/fs"
	"path"
	"slices"
	"strings"
)

// maxDepth is how deep directories with mounts below them are taken apart
// before the host's tree is bound read-only as it is.
const maxDepth = 2

// action says what a path of the host becomes in the container.
type action int

const (
	actMkdir   action = iota // plain directory with the host's mode
	actLink                  // symbolic link, copied
	actOverlay               // overlay over the host's directory
	actBind                  // the host's tree, recursively, read-only
)

// step is one decision about one path.
type step struct {
	Act    action
	Path   string
	Mode   fs.FileMode
	Target string // of a link
}

// entry is what observe saw of one name in a directory of the host.
type entry struct {
	Name   string
	Mode   fs.FileMode
	Target string // of a link
	// Plain is a directory that is empty or that we may not read: it needs no overlay.
	Plain bool
}

// lister reads a directory of the host.
type lister func(dir string) ([]entry, error)

// fresh are the top directories that every container gets anew.
var fresh = []string{"/proc", "/sys", "/dev", "/tmp", "/run", "/.kiwerk"}

// plan decides what the root consists of, parents before children.
func plan(mounts []Mount, masks []string, list lister) ([]step, error) {
	p := planner{points: foreignPoints(mounts, masks), list: list}
	if err := p.walk("/", 0); err != nil {
		return nil, err
	}
	return p.steps, nil
}

// foreignPoints returns the mount points that the host has itself. Ours are
// those below a masked path (volumes of the kubelet), the kubelet's folder and
// what carries our name as its source.
func foreignPoints(mounts []Mount, masks []string) []string {
	var points []string
	for _, m := range mounts {
		hidden := m.Point == "/" || m.Source == OwnSource || m.Point == KubeletDir
		for _, dir := range fresh {
			hidden = hidden || within(m.Point, dir)
		}
		for _, mask := range masks {
			hidden = hidden || m.Point != mask && within(m.Point, mask)
		}
		if !hidden {
			points = append(points, m.Point)
		}
	}
	return points
}

type planner struct {
	points []string
	list   lister
	steps  []step
}

func (p *planner) walk(dir string, depth int) error {
	entries, err := p.list(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		at := path.Join(dir, e.Name)
		if slices.Contains(fresh, at) || e.Name == "lost+found" {
			continue
		}
		switch {
		case e.Mode&fs.ModeSymlink != 0:
			p.add(step{Act: actLink, Path: at, Target: e.Target})
		case !e.Mode.IsDir():
			if dir != "/" && e.Mode.IsRegular() {
				p.add(step{Act: actBind, Path: at, Mode: e.Mode.Perm()})
			}
		case !p.mountBelow(at):
			act := actOverlay
			if e.Plain {
				act = actMkdir
			}
			p.add(step{Act: act, Path: at, Mode: e.Mode})
		case depth+1 > maxDepth:
			p.add(step{Act: actBind, Path: at, Mode: e.Mode})
		default:
			p.add(step{Act: actMkdir, Path: at, Mode: e.Mode})
			if err := p.walk(at, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *planner) add(s step) { p.steps = append(p.steps, s) }

func (p *planner) mountBelow(dir string) bool {
	return slices.ContainsFunc(p.points, func(m string) bool { return m != dir && within(m, dir) })
}

// within tells whether p is dir or below it; both are clean absolute paths.
func within(p, dir string) bool {
	return p == dir || dir == "/" || strings.HasPrefix(p, strings.TrimSuffix(dir, "/")+"/")
}
