package imagetest

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Entry is one entry of a layer.
type Entry struct {
	tar.Header
	Content string
	// From is the file of this machine that is the content.
	From string
}

// File is a regular file.
func File(at, content string, mode int64) Entry {
	return Entry{Header: tar.Header{Name: at, Typeflag: tar.TypeReg, Mode: mode}, Content: content}
}

// Copy is a file of this machine, links followed, at a path of the image; it is read when it is packed.
func Copy(from, at string, mode int64) Entry {
	return Entry{Header: tar.Header{Name: at, Typeflag: tar.TypeReg, Mode: mode}, From: from}
}

// Dir is a directory.
func Dir(at string, mode int64) Entry {
	return Entry{Header: tar.Header{Name: at, Typeflag: tar.TypeDir, Mode: mode}}
}

// Link is a symbolic link.
func Link(at, target string) Entry {
	return Entry{Header: tar.Header{Name: at, Typeflag: tar.TypeSymlink, Linkname: target, Mode: 0o777}}
}

// Owned gives an entry an owner.
func (e Entry) Owned(uid, gid int) Entry {
	e.Uid, e.Gid = uid, gid
	return e
}

// Programs are programs of this machine in a directory of the image, with the libraries that they load.
func Programs(ctx context.Context, dir string, names ...string) ([]Entry, error) {
	var list []Entry
	var files []string
	var errs []error
	for _, n := range names {
		file, err := exec.LookPath(n)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		files = append(files, file)
		list = append(list, Copy(file, path.Join(dir, filepath.Base(n)), 0o755))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return append(list, Libraries(ctx, files...)...), nil
}

// Libraries are those that programs and libraries load, at the paths that they have here.
func Libraries(ctx context.Context, files ...string) []Entry {
	out, _ := exec.CommandContext(ctx, "ldd", files...).Output() // it fails where one of them is static
	var list []Entry
	have := map[string]bool{}
	for word := range strings.FieldsSeq(string(out)) {
		// With a colon it is the file whose libraries follow.
		if at := path.Clean(word); strings.HasPrefix(word, "/") && !strings.HasSuffix(word, ":") && !have[at] {
			have[at] = true
			list = append(list, Copy(at, at, 0o755))
		}
	}
	return list
}

// Tree are the files below a folder of this machine that keep selects; dates stay, by which Python knows its compiled files.
func Tree(from, at string, keep func(path string, d fs.DirEntry) bool) ([]Entry, error) {
	var list []Entry
	err := filepath.WalkDir(from, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, p)
		if err != nil {
			return err
		}
		if !keep(rel, d) {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		info, err := os.Stat(p)
		if err != nil || !info.Mode().IsRegular() {
			return err
		}
		e := Copy(p, path.Join(at, rel), int64(info.Mode().Perm()))
		e.ModTime = info.ModTime()
		list = append(list, e)
		return nil
	})
	return list, err
}

// blocks is what a file takes in an archive beside its content, at most.
const blocks = 4 << 10

// Pack makes a tar file of entries.
func Pack(entries ...Entry) ([]byte, error) {
	var size int64
	for _, e := range entries {
		if info, err := os.Stat(e.From); err == nil {
			size += info.Size() + blocks
		}
	}
	var b bytes.Buffer
	b.Grow(int(size))
	w := tar.NewWriter(&b)
	for _, e := range entries {
		if err := e.write(w); err != nil {
			return nil, fmt.Errorf("pack %s: %w", e.Name, err)
		}
	}
	err := w.Close()
	return b.Bytes(), err
}

func (e Entry) write(w *tar.Writer) error {
	content := []byte(e.Content)
	if e.From != "" {
		var err error
		if content, err = os.ReadFile(e.From); err != nil {
			return err
		}
	}
	e.Size = int64(len(content))
	if err := w.WriteHeader(&e.Header); err != nil {
		return err
	}
	_, err := w.Write(content)
	return err
}

// NewLayer packs entries as a layer. It is not compressed: it is read again on the same machine.
func NewLayer(entries ...Entry) (v1.Layer, error) {
	b, err := Pack(entries...)
	return static.NewLayer(b, types.OCIUncompressedLayer), err
}

// New puts layers, the lowest first, under a configuration for an architecture.
func New(arch string, cfg v1.Config, layers ...v1.Layer) (v1.Image, error) {
	img, err := mutate.ConfigFile(empty.Image, &v1.ConfigFile{OS: "linux", Architecture: arch, Config: cfg, RootFS: v1.RootFS{Type: "layers"}})
	if err != nil {
		return nil, err
	}
	return mutate.AppendLayers(img, layers...)
}

// Save writes an archive like docker save does, of images by their names.
func Save(file string, images map[string]v1.Image) error {
	tagged := map[name.Tag]v1.Image{}
	for ref, img := range images {
		tag, err := name.NewTag(ref, name.WeakValidation)
		if err != nil {
			return err
		}
		tagged[tag] = img
	}
	return tarball.MultiWriteToFile(file, tagged)
}
