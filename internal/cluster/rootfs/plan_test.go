package rootfs

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// tree is a made-up host: directories with their entries.
type tree map[string][]entry

func (h tree) list(dir string) ([]entry, error) {
	e, ok := h[dir]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: dir, Err: os.ErrNotExist}
	}
	return e, nil
}

func dir(name string) entry   { return entry{Name: name, Mode: fs.ModeDir | 0o755} }
func empty(name string) entry { return entry{Name: name, Mode: fs.ModeDir | 0o755, Plain: true} }
func file(name string) entry  { return entry{Name: name, Mode: 0o644} }
func link(name, to string) entry {
	return entry{Name: name, Mode: fs.ModeSymlink | 0o777, Target: to}
}

func TestPlan(t *testing.T) {
	root := []entry{
		link("bin", "usr/bin"), empty("boot"), dir("dev"), dir("etc"), dir("home"), dir("lost+found"),
		dir("proc"), dir("run"), file("swapfile"), dir("sys"), dir("tmp"), dir("usr"), dir("var"),
	}
	host1 := tree{"/": root, "/var": {dir("lib"), link("run", "/run"), empty("tmp"), file("f")}, "/home": {dir("u")}}
	writable := []string{"/etc", "/var"}
	for name, c := range map[string]struct {
		reason string
		mounts []Mount
		masks  []string
		points []string
		locked bool
		want   []string
	}{
		"Plain": {
			reason: "what may change is an overlay, the rest is bound, fresh directories are left out",
			want:   []string{"link /bin", "mkdir /boot", "overlay /etc", "bind /home", "bind /usr", "overlay /var"},
		},
		"Point": {
			reason: "something must be created below /home",
			points: []string{"/home/u/data"},
			want:   []string{"link /bin", "mkdir /boot", "overlay /etc", "overlay /home", "bind /usr", "overlay /var"},
		},
		"MountBelowRead": {
			reason: "a bind takes its mounts along",
			mounts: []Mount{{Point: "/home/u", FSType: "ext4"}}, locked: true,
			want: []string{"link /bin", "mkdir /boot", "overlay /etc", "bind /home", "bind /usr", "overlay /var"},
		},
		"Unlocked": {
			reason: "an overlay hides mounts below, so they are bound in their places, but not ours and not those of other runtimes",
			mounts: []Mount{
				{Point: "/var/lib/disk", FSType: "ext4"},
				{Point: "/var/lib/disk/sub", FSType: "ext4"},
				{Point: KubeletDir, FSType: "ext4"},
				{Point: "/var/lib/docker/x/merged", FSType: "overlay"},
				{Point: "/var/data/kubelet/pods/x", FSType: "tmpfs"},
				{Point: "/var/lib", Source: OwnSource},
			},
			masks: []string{"/var/data"},
			want:  []string{"link /bin", "mkdir /boot", "overlay /etc", "bind /home", "bind /usr", "overlay /var", "bind /var/lib/disk"},
		},
		"Locked": {
			reason: "the kernel refuses an overlay over locked mounts: the directory is taken apart, once",
			mounts: []Mount{{Point: "/var/lib/docker", FSType: "ext4"}}, locked: true,
			want: []string{
				"link /bin", "mkdir /boot", "overlay /etc", "bind /home", "bind /usr", "mkdir /var", "bind /var/lib", "link /var/run", "mkdir /var/tmp", "bind /var/f",
			},
		},
		"Fresh": {
			reason: "mounts below fresh directories do not matter",
			mounts: []Mount{{Point: "/run/user/1000"}, {Point: "/sys/fs/cgroup"}, {Point: "/"}}, locked: true,
			want: []string{"link /bin", "mkdir /boot", "overlay /etc", "bind /home", "bind /usr", "overlay /var"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			steps, err := plan(c.mounts, c.masks, want{writable: writable, points: c.points}, host{list: host1.list, locked: func(string) bool { return c.locked }})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, s := range steps {
				got = append(got, [...]string{"mkdir", "link", "overlay", "bind"}[s.Act]+" "+s.Path)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", c.reason, diff)
			}
		})
	}
}

func TestPlan_unreadable(t *testing.T) {
	_, err := plan(nil, nil, want{}, host{list: tree{}.list})
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v", err)
	}
}

func TestWithin(t *testing.T) {
	for name, c := range map[string]struct {
		path, dir string
		want      bool
	}{
		"Same":    {"/a", "/a", true},
		"Below":   {"/a/b", "/a", true},
		"Root":    {"/a", "/", true},
		"Sibling": {"/ab", "/a", false},
		"Above":   {"/a", "/a/b", false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := within(c.path, c.dir); got != c.want {
				t.Errorf("within(%q, %q) = %v", c.path, c.dir, got)
			}
		})
	}
}

//nolint:dupword // As the kernel writes it.
const sample = `22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 27 8:1 /sub\134dir /mnt/with\040blank rw master:2 propagate_from:1 - xfs /dev/disk\040name rw,x
31 27 0:9 / /none rw - tmpfs  rw
`

func TestParseMounts(t *testing.T) {
	got, err := ParseMounts(strings.NewReader(sample))
	if err != nil {
		t.Fatal(err)
	}
	want := []Mount{
		{Point: "/proc", FSType: "proc", Source: "proc", Root: "/", Options: "rw"},
		{Point: "/", FSType: "ext4", Source: "/dev/vda", Root: "/", Options: "rw"},
		{Point: "/mnt/with blank", FSType: "xfs", Source: "/dev/disk name", Root: `/sub\dir`, Options: "rw,x"},
		{Point: "/none", FSType: "tmpfs", Source: "rw", Root: "/"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, bad := range []string{"x", "1 2 3 4 5 6 7", "1 2 0:1 / relative rw - ext4 x rw", "1 2 0:1 / /a rw - "} {
		if _, err := ParseMounts(strings.NewReader(bad)); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func FuzzParseMounts(f *testing.F) {
	f.Add(sample)
	f.Add(`1 2 0:1 / /\999\04 rw - a b c`)
	f.Fuzz(func(t *testing.T, s string) {
		mounts, err := ParseMounts(strings.NewReader(s))
		if err != nil {
			return
		}
		for _, m := range mounts {
			if !strings.HasPrefix(m.Point, "/") || m.FSType == "" {
				t.Errorf("accepted %+v", m)
			}
		}
	})
}
