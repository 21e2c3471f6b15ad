//go:build linux

package image

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kiwerk/kiwerk/internal/cluster/ids"
	"github.com/kiwerk/kiwerk/internal/kwtest/imagetest"
)

var (
	file = imagetest.File
	dir  = imagetest.Dir
	link = imagetest.Link
)

func special(kind byte, path, target string) imagetest.Entry {
	return imagetest.Entry{Header: tar.Header{Name: path, Typeflag: kind, Linkname: target, Mode: 0o644, Devmajor: 1, Devminor: 3}}
}

func keepOwner(int, int) (int, int, bool, bool) { return 0, 0, false, true }

// tree describes what lies below a directory.
func tree(t testing.TB, at string) []string {
	t.Helper()
	list := []string{}
	err := filepath.WalkDir(at, func(p string, d fs.DirEntry, err error) error {
		if err != nil || p == at {
			return err
		}
		rel, _ := filepath.Rel(at, p)
		info, err := d.Info()
		if err != nil {
			return err
		}
		switch {
		case d.IsDir():
			rel += "/"
		case info.Mode()&fs.ModeSymlink != 0:
			target, err := os.Readlink(p)
			if err != nil {
				return err
			}
			rel += " -> " + target
		case info.Mode().IsRegular():
			data, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			rel += "=" + string(data)
		default:
			rel += " " + info.Mode().Type().String()
		}
		list = append(list, rel)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// apply unpacks into a directory beside a file that must not change.
func apply(t testing.TB, limits Limits, layers ...[]byte) (root string, report Report, err error) {
	t.Helper()
	outside := t.TempDir()
	root = filepath.Join(outside, "a", "root")
	secret := filepath.Join(outside, "secret")
	if err := os.MkdirAll(root, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(secret, []byte("s"), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := os.OpenRoot(root)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for _, l := range layers {
		if report, err = Apply(r, bytes.NewReader(l), limits, keepOwner); err != nil {
			break
		}
	}
	info, statErr := os.Stat(secret)
	if data, readErr := os.ReadFile(secret); readErr != nil || string(data) != "s" || statErr != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("a file outside of the root was changed: %q, %v, %v", data, readErr, statErr)
	}
	if entries, readErr := os.ReadDir(outside); readErr != nil || len(entries) != 2 {
		t.Fatalf("something was made outside of the root: %v, %v", entries, readErr)
	}
	if entries, readErr := os.ReadDir(filepath.Dir(root)); readErr != nil || len(entries) != 1 {
		t.Fatalf("something was made beside the root: %v, %v", entries, readErr)
	}
	return root, report, err
}

var wide = Limits{Bytes: 1 << 20, Entries: 1000}

func TestApply(t *testing.T) {
	many := []imagetest.Entry{}
	for i := range 1001 {
		many = append(many, file(fmt.Sprint(i), "", 0o644))
	}
	loop := []imagetest.Entry{link("l", "l"), file("l/x", "", 0o644)}
	for name, c := range map[string]struct {
		layers [][]imagetest.Entry
		want   []string
		fails  string
	}{
		"Plain":             {layers: [][]imagetest.Entry{{dir("a", 0o755), file("a/f", "1", 0o644), link("l", "a/f")}}, want: []string{"a/", "a/f=1", "l -> a/f"}},
		"WithoutParents":    {layers: [][]imagetest.Entry{{file("a/b/c", "1", 0o644)}}, want: []string{"a/", "a/b/", "a/b/c=1"}},
		"DotSlash":          {layers: [][]imagetest.Entry{{dir("./", 0o755), file("./f", "1", 0o644)}}, want: []string{"f=1"}},
		"ClimbsOut":         {layers: [][]imagetest.Entry{{file("../../secret", "x", 0o644), file("/../b", "y", 0o644)}}, want: []string{"b=y", "secret=x"}},
		"Absolute":          {layers: [][]imagetest.Entry{{file("/etc/passwd", "x", 0o644)}}, want: []string{"etc/", "etc/passwd=x"}},
		"ThroughEscaping":   {layers: [][]imagetest.Entry{{link("l", "../.."), file("l/secret", "x", 0o644)}}, want: []string{"l -> ../..", "secret=x"}},
		"ThroughAbsolute":   {layers: [][]imagetest.Entry{{link("l", "/"), file("l/etc/x", "x", 0o644)}}, want: []string{"etc/", "etc/x=x", "l -> /"}},
		"ThroughDangling":   {layers: [][]imagetest.Entry{{link("run", "/new/dir"), file("run/x", "x", 0o644)}}, want: []string{"new/", "new/dir/", "new/dir/x=x", "run -> /new/dir"}},
		"OverLink":          {layers: [][]imagetest.Entry{{link("f", "../../secret"), file("f", "x", 0o644)}}, want: []string{"f=x"}},
		"DirOverLink":       {layers: [][]imagetest.Entry{{link("d", "../.."), dir("d", 0o755), file("d/secret", "x", 0o644)}}, want: []string{"d/", "d/secret=x"}},
		"LinkOverParent":    {layers: [][]imagetest.Entry{{file("d/a", "1", 0o644), link("d", "../.."), file("d/secret", "x", 0o644)}}, want: []string{"d -> ../..", "secret=x"}},
		"LinkLoop":          {layers: [][]imagetest.Entry{loop}, fails: "too many symbolic links"},
		"BelowFile":         {layers: [][]imagetest.Entry{{file("f", "1", 0o644), file("f/g", "2", 0o644)}}, fails: "not a directory"},
		"HardLink":          {layers: [][]imagetest.Entry{{file("f", "1", 0o644), special(tar.TypeLink, "g", "f")}}, want: []string{"f=1", "g=1"}},
		"HardLinkOutside":   {layers: [][]imagetest.Entry{{special(tar.TypeLink, "g", "../../secret")}}, fails: "no such file"},
		"HardLinkThrough":   {layers: [][]imagetest.Entry{{link("l", "../.."), special(tar.TypeLink, "g", "l/secret")}}, fails: "no such file"},
		"HardLinkToLink":    {layers: [][]imagetest.Entry{{link("l", "../../secret"), special(tar.TypeLink, "g", "l")}}, want: []string{"g -> ../../secret", "l -> ../../secret"}},
		"HardLinkToDir":     {layers: [][]imagetest.Entry{{dir("d", 0o755), special(tar.TypeLink, "g", "d")}}, fails: "hard link to the directory"},
		"Devices":           {layers: [][]imagetest.Entry{{special(tar.TypeChar, "null", ""), special(tar.TypeBlock, "sda", ""), special(tar.TypeFifo, "p", ""), special(tar.TypeLink, "n", "null")}}, want: []string{}},
		"RootAsFile":        {layers: [][]imagetest.Entry{{special(tar.TypeSymlink, ".", "/etc")}}, fails: "only a directory can be the root"},
		"Whiteout":          {layers: [][]imagetest.Entry{{file("d/a", "1", 0o644), file("d/b", "2", 0o644)}, {file("d/.wh.a", "", 0)}}, want: []string{"d/", "d/b=2"}},
		"WhiteoutTree":      {layers: [][]imagetest.Entry{{file("d/e/a", "1", 0o644)}, {file(".wh.d", "", 0)}}, want: []string{}},
		"WhiteoutOfNothing": {layers: [][]imagetest.Entry{{file("x/y/.wh.a", "", 0)}}, want: []string{}},
		"WhiteoutKeepsOwn":  {layers: [][]imagetest.Entry{{file("d/a", "1", 0o644)}, {file("d", "new", 0o644), file(".wh.d", "", 0)}}, want: []string{"d=new"}},
		"WhiteoutOutside":   {layers: [][]imagetest.Entry{{link("l", "../.."), file("l/.wh.secret", "", 0), file("../../.wh.secret", "", 0)}}, want: []string{"l -> ../.."}},
		"WhiteoutNameless":  {layers: [][]imagetest.Entry{{file(".wh.", "", 0)}}, fails: "without a name"},
		"WhiteoutDots":      {layers: [][]imagetest.Entry{{file("a/.wh...", "", 0)}}, fails: "without a name"},
		"Opaque": {layers: [][]imagetest.Entry{
			{file("d/old", "1", 0o644), file("d/e/old", "2", 0o644), file("keep", "3", 0o644)},
			{dir("d", 0o755), file("d/new", "4", 0o644), file("d/e/new", "5", 0o644), file("d/.wh..wh..opq", "", 0)},
		}, want: []string{"d/", "d/e/", "d/e/new=5", "d/new=4", "keep=3"}},
		"AufsRecords":  {layers: [][]imagetest.Entry{{file(".wh..wh.plnk", "", 0), file(".wh..wh.aufs", "x", 0o644)}}, want: []string{}},
		"TooMany":      {layers: [][]imagetest.Entry{many}, fails: "more than the 1000 entries"},
		"TooLarge":     {layers: [][]imagetest.Entry{{file("a", strings.Repeat("x", 600<<10), 0o644), file("b", strings.Repeat("x", 600<<10), 0o644)}}, fails: "more than the 1048576 bytes"},
		"LongName":     {layers: [][]imagetest.Entry{{file(strings.Repeat("d/", 2500)+"f", "", 0o644)}}, fails: "at most 4096"},
		"FileOverTree": {layers: [][]imagetest.Entry{{file("d/a", "1", 0o644)}, {file("d", "2", 0o644)}}, want: []string{"d=2"}},
	} {
		t.Run(name, func(t *testing.T) {
			var layers [][]byte
			for _, l := range c.layers {
				layers = append(layers, imagetest.Tar(t, l...))
			}
			root, _, err := apply(t, wide, layers...)
			if c.fails != "" {
				if err == nil || !strings.Contains(err.Error(), c.fails) {
					t.Fatalf("error %v, expected %q", err, c.fails)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, tree(t, root)); diff != "" {
				t.Errorf("tree (-want +got):\n%s", diff)
			}
		})
	}
}

func TestApply_attributes(t *testing.T) {
	at := time.Unix(1_000_000_000, 0)
	su := file("bin/su", "x", 0o4755)
	su.ModTime = at
	d := dir("bin", 0o1777)
	d.ModTime = at
	root, report, err := apply(t, wide, imagetest.Tar(t, d, su, special(tar.TypeChar, "bin/null", "")))
	if err != nil || report.Skipped != 1 || report.Entries != 3 || report.Bytes != 1 {
		t.Fatalf("report %+v, %v", report, err)
	}
	for name, want := range map[string]fs.FileMode{"bin": fs.ModeDir | fs.ModeSticky | 0o777, "bin/su": fs.ModeSetuid | 0o755} {
		info, err := os.Lstat(filepath.Join(root, name))
		if err != nil || info.Mode() != want || !info.ModTime().Equal(at) {
			t.Errorf("%s: %v %v, %v", name, info.Mode(), info.ModTime(), err)
		}
	}
}

func TestIDMaps_owner(t *testing.T) {
	own := idMaps{ids.Ranges{{First: 0, Count: 1}, {First: 1000, Count: 100}}, ids.Ranges{{First: 0, Count: 1}}}.owner
	for id, want := range map[[2]int][3]any{
		{0, 0}: {0, 0, true}, {1000, 0}: {1000, 0, true}, {1100, 0}: {0, 0, false}, {1000, 5}: {1000, 0, false}, {-1, -1}: {0, 0, false},
	} {
		if u, g, set, mapped := own(id[0], id[1]); u != want[0] || g != want[1] || mapped != want[2] || !set {
			t.Errorf("%v becomes %d:%d, mapped %v", id, u, g, mapped)
		}
	}
}

func FuzzApply(f *testing.F) {
	f.Add(imagetest.Tar(f, dir("a", 0o755), file("a/f", "1", 0o644), link("a/l", "../.."), file("a/l/secret", "x", 0o4755)))
	f.Add(imagetest.Tar(f, link("l", "/"), special(tar.TypeLink, "g", "l/../secret"), file("l/.wh..wh..opq", "", 0), file("../.wh.secret", "", 0)))
	f.Add(imagetest.Tar(f, special(tar.TypeChar, "d", ""), special(tar.TypeLink, "e", "d"), file(".wh.d", "", 0)))
	f.Fuzz(func(t *testing.T, layer []byte) {
		_, report, err := apply(t, wide, layer) // looks at what lies outside
		if err == nil && (report.Entries > wide.Entries || report.Bytes > wide.Bytes) {
			t.Errorf("report %+v exceeds the limits", report)
		}
	})
}
