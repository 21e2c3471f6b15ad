package rootfs

import (
	"io/fs"
	"path"
	"slices"
	"strings"
)

// maxDepth is how deep directories with locked mounts below them are taken
// apart before the host's tree is bound read-only as it is.
const maxDepth = 1

// maxBinds bounds the mounts of the host that are shown below one directory.
const maxBinds = 32

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

// host is what the plan asks about the host.
type host struct {
	// list reads a directory.
	list func(dir string) ([]entry, error)
	// locked tells whether a mount below dir cannot be looked behind, because
	// it was made outside of our user namespace. Overlays refuse such directories.
	locked func(dir string) bool
}

// want is what the container needs of the root, beyond reading it.
type want struct {
	// writable are top directories that the container may change for itself.
	writable []string
	// points are paths at which something has to be created.
	points []string
}

// fresh are the top directories that every container gets anew.
var fresh = []string{"/proc", "/sys", "/dev", "/tmp", "/run", "/.kiwerk"}

// plan decides what the root consists of, parents before children.
func plan(mounts []Mount, masks []string, w want, h host) ([]step, error) {
	p := planner{host: h, want: w}
	for _, m := range mounts {
		if m.Point == "/" || slices.ContainsFunc(fresh, func(f string) bool { return within(m.Point, f) }) {
			continue
		}
		p.mounts = append(p.mounts, m.Point)
		if shown(m, masks) {
			p.foreign = append(p.foreign, m.Point)
		}
	}
	if err := p.walk("/", 0); err != nil {
		return nil, err
	}
	return p.steps, nil
}

// shown tells whether containers should see a mount: not ours, which are below
// masked paths, at the kubelet's folder or carry our name; and not those of
// other container runtimes.
func shown(m Mount, masks []string) bool {
	switch m.FSType {
	case "overlay", "nsfs", "autofs", "fuse.portal":
		return false
	}
	if m.Source == OwnSource || within(m.Point, KubeletDir) {
		return false
	}
	return !slices.ContainsFunc(masks, func(mask string) bool { return within(m.Point, mask) })
}

type planner struct {
	host
	want
	mounts  []string // where there is one
	foreign []string // the ones to be shown
	steps   []step
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
		case e.Mode.IsDir():
			if err := p.directory(at, e, depth); err != nil {
				return err
			}
		case dir != "/" && e.Mode.IsRegular():
			p.add(step{Act: actBind, Path: at, Mode: e.Mode.Perm()})
		}
	}
	return nil
}

// directory decides about one directory of the host.
func (p *planner) directory(at string, e entry, depth int) error {
	below := func(m string) bool { return m != at && within(m, at) }
	switch {
	case !p.changes(at) && !e.Plain:
		p.add(step{Act: actBind, Path: at, Mode: e.Mode})
	case !slices.ContainsFunc(p.mounts, below):
		act := actOverlay
		if e.Plain {
			act = actMkdir
		}
		p.add(step{Act: act, Path: at, Mode: e.Mode})
	case !p.locked(at):
		p.add(step{Act: actOverlay, Path: at, Mode: e.Mode})
		p.showMounts(below)
	case depth < maxDepth:
		p.add(step{Act: actMkdir, Path: at, Mode: e.Mode})
		return p.walk(at, depth+1)
	default:
		p.add(step{Act: actBind, Path: at, Mode: e.Mode})
	}
	return nil
}

// changes tells whether an overlay is worth its price for a directory. Each
// costs about ten changes of the disk's metadata when the container starts.
func (p *planner) changes(at string) bool {
	return slices.ContainsFunc(p.writable, func(w string) bool { return within(at, w) }) ||
		slices.ContainsFunc(p.points, func(n string) bool { return within(n, at) })
}

// showMounts binds the host's mounts below an overlay, which does not show
// them itself. What is below a mount comes with it.
func (p *planner) showMounts(below func(string) bool) {
	var done []string
	for _, m := range p.foreign {
		covered := slices.ContainsFunc(done, func(d string) bool { return within(m, d) })
		if covered || !below(m) || len(done) == maxBinds {
			continue
		}
		done = append(done, m)
		p.add(step{Act: actBind, Path: m, Mode: fs.ModeDir | 0o755})
	}
}

func (p *planner) add(s step) { p.steps = append(p.steps, s) }

// within tells whether p is dir or below it; both are clean absolute paths.
func within(p, dir string) bool {
	return p == dir || dir == "/" || strings.HasPrefix(p, strings.TrimSuffix(dir, "/")+"/")
}
