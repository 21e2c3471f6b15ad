//go:build linux

package image

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Annotations with which a layout names its images.
const (
	annotationName = "org.opencontainers.image.ref.name"
	annotationFull = "io.containerd.image.name"
)

// Load takes the images of a file: a docker-save archive, an OCI layout as
// archive or as directory. Archives may be compressed with gzip, and come from a pipe.
// as, if set, names the only image in it.
func (s *Store) Load(ctx context.Context, f *os.File, as string, tell func(Progress)) (list []*Image, err error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	s.busy.RLock()
	defer s.busy.RUnlock()
	var found []candidate
	if info.IsDir() {
		found, err = fromLayout("/proc/self/fd/" + strconv.Itoa(int(f.Fd())))
	} else {
		var done func() error
		if found, done, err = s.fromArchive(ctx, f, info); done != nil {
			defer func() { err = errors.Join(err, done()) }()
		}
	}
	if err != nil {
		return nil, err
	}
	if err := rename(found, as); err != nil {
		return nil, err
	}
	for _, c := range found {
		img, err := s.loadOne(ctx, c, tell)
		if err != nil {
			return list, fmt.Errorf("image %s: %w", c.title(), err)
		}
		list = append(list, img)
	}
	return list, nil
}

// candidate is one image of a file.
type candidate struct {
	img    v1.Image
	names  []string
	digest string // of its manifest, if the file says so
}

func (c candidate) title() string {
	if len(c.names) > 0 {
		return c.names[0]
	}
	return short(c.digest)
}

func rename(found []candidate, as string) error {
	if as == "" {
		return nil
	}
	full, err := Canonical(as)
	if err != nil {
		return err
	}
	if len(found) != 1 {
		return fmt.Errorf("the file holds %d images; a name can be given to a single one only", len(found))
	}
	found[0].names = []string{full}
	return nil
}

func (s *Store) loadOne(ctx context.Context, c candidate, tell func(Progress)) (*Image, error) {
	id, err := c.img.ConfigName()
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	defer s.working.lock(imageKey(id.String()))()
	rec, err := s.add(ctx, c.title(), c.img, tell)
	if err != nil {
		return nil, err
	}
	for _, n := range c.names {
		if _, err := s.setName(nameRecord{Name: n, ID: rec.ID, Digest: c.digest, Source: SourceLoad, Added: s.clock.Now()}); err != nil {
			return nil, err
		}
	}
	img, ok := s.Find(rec.ID)
	if !ok {
		return nil, errRemoved
	}
	return img, nil
}

// fromArchive reads a tar archive of either kind. done ends what the candidates read from.
func (s *Store) fromArchive(ctx context.Context, f *os.File, info fs.FileInfo) (_ []candidate, done func() error, _ error) {
	archive := "/proc/self/fd/" + strconv.Itoa(int(f.Fd()))
	tmp, err := os.MkdirTemp(s.dir, newPrefix)
	if err != nil {
		return nil, nil, err
	}
	done = func() error { return os.RemoveAll(tmp) }
	fail := func(err error) ([]candidate, func() error, error) { return nil, nil, errors.Join(err, done()) }
	in := bufio.NewReader(f)
	magic, err := in.Peek(2)
	if err != nil {
		return fail(errors.New("the file is empty: it must be a docker-save archive or an OCI layout"))
	}
	if zipped := bytes.Equal(magic, []byte{0x1f, 0x8b}); zipped || !info.Mode().IsRegular() {
		archive = filepath.Join(tmp, "archive.tar")
		if err := s.spool(ctx, archive, in, zipped); err != nil {
			return fail(err)
		}
	}
	opener := func() (io.ReadCloser, error) { return os.Open(archive) }
	docker, err := kindOfArchive(opener)
	if err != nil {
		return fail(err)
	}
	var found []candidate
	if docker {
		found, err = fromDocker(opener)
	} else {
		dir := filepath.Join(tmp, "layout")
		if err = s.extractLayout(ctx, opener, dir); err == nil {
			found, err = fromLayout(dir)
		}
	}
	if err != nil {
		return fail(err)
	}
	return found, done, nil
}

// spool writes a stream that cannot be read twice to the disk.
func (s *Store) spool(ctx context.Context, to string, in io.Reader, zipped bool) error {
	if zipped {
		unzipped, err := gzip.NewReader(in)
		if err != nil {
			return fmt.Errorf("unzip: %w", err)
		}
		in = unzipped
	}
	f, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	n, err := io.Copy(f, io.LimitReader(s.guard(ctx, in), s.limits.Bytes+1))
	if err == nil && n > s.limits.Bytes {
		err = fmt.Errorf("the archive is larger than %d bytes", s.limits.Bytes)
	}
	return errors.Join(err, f.Close())
}

// kindOfArchive tells a docker-save archive from an OCI layout. Newer ones are both.
func kindOfArchive(open tarball.Opener) (docker bool, err error) {
	f, err := open()
	if err != nil {
		return false, err
	}
	defer f.Close()
	oci := false
	for tr := tar.NewReader(f); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return false, fmt.Errorf("not a tar archive, or a damaged one: %w", err)
		}
		switch path.Clean(h.Name) {
		case "manifest.json":
			return true, smallEntry(h)
		case "index.json":
			oci = true
		}
	}
	if !oci {
		return false, errors.New("the archive has neither manifest.json (docker save) nor index.json (OCI layout)")
	}
	return false, nil
}

// smallEntry refuses what is too large to be read into memory, and links to it.
func smallEntry(h *tar.Header) error {
	if h.Typeflag != tar.TypeReg {
		return fmt.Errorf("%.200q in the archive is not a regular file", h.Name)
	}
	return small(h.Name, h.Size)
}

func small(name string, size int64) error {
	if size > maxConfig {
		return fmt.Errorf("%.200q has %d bytes, at most %d are accepted", name, size, maxConfig)
	}
	return nil
}

// smallConfigs checks the configurations that a manifest names before they are read.
func smallConfigs(open tarball.Opener, manifest tarball.Manifest) error {
	wanted := map[string]bool{}
	for _, d := range manifest {
		wanted[path.Clean(d.Config)] = true
	}
	f, err := open()
	if err != nil {
		return err
	}
	defer f.Close()
	for tr := tar.NewReader(f); len(wanted) > 0; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return nil // what is missing is found to be so later
		}
		if err != nil {
			return fmt.Errorf("read archive: %w", err)
		}
		at := path.Clean(h.Name)
		if !wanted[at] {
			continue
		}
		delete(wanted, at) // of several the first counts
		if err := smallEntry(h); err != nil {
			return err
		}
	}
	return nil
}

func fromDocker(open tarball.Opener) ([]candidate, error) {
	manifest, err := tarball.LoadManifest(open)
	if err != nil {
		return nil, fmt.Errorf("manifest.json: %w", err)
	}
	if err := smallConfigs(open, manifest); err != nil {
		return nil, err
	}
	var found []candidate
	for _, d := range manifest {
		c := candidate{digest: path.Base(d.Config)}
		var tag *name.Tag
		for _, t := range d.RepoTags {
			parsed, err := name.NewTag(t, name.WeakValidation)
			if err != nil {
				return nil, fmt.Errorf("manifest.json: %w", err)
			}
			tag = &parsed
			c.names = append(c.names, canonical(parsed))
		}
		if tag == nil && len(manifest) > 1 {
			return nil, errors.New("the archive holds several images, and not all have names; save them with their names")
		}
		if c.img, err = tarball.Image(open, tag); err != nil {
			return nil, fmt.Errorf("image %s: %w", c.title(), err)
		}
		c.digest = "" // docker save does not keep it
		found = append(found, c)
	}
	return found, nil
}

// extractLayout copies the files of a layout, and nothing else, from an archive.
func (s *Store) extractLayout(ctx context.Context, open tarball.Opener, dir string) error {
	left := s.limits.Bytes
	if err := os.MkdirAll(filepath.Join(dir, "blobs", "sha256"), 0o700); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	f, err := open()
	if err != nil {
		return err
	}
	defer f.Close()
	tr := tar.NewReader(s.guard(ctx, f))
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read archive: %w", err)
		}
		at := path.Clean(h.Name)
		if h.Typeflag != tar.TypeReg || !ofLayout(at) {
			continue
		}
		if left -= h.Size; left < 0 {
			return fmt.Errorf("the archive is larger than %d bytes", s.limits.Bytes)
		}
		if err := writeTo(root, at, tr); err != nil {
			return err
		}
	}
}

func ofLayout(at string) bool {
	if at == "index.json" || at == "oci-layout" {
		return true
	}
	blob, ok := strings.CutPrefix(at, "blobs/sha256/")
	if !ok {
		return false
	}
	_, err := hexOf("sha256:" + blob)
	return err == nil
}

func writeTo(root *os.Root, at string, r io.Reader) error {
	f, err := root.OpenFile(at, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	return errors.Join(err, f.Close())
}

func fromLayout(dir string) ([]candidate, error) {
	if err := smallFile(filepath.Join(dir, "index.json")); err != nil {
		return nil, fmt.Errorf("OCI layout: %w", err)
	}
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		return nil, fmt.Errorf("OCI layout: %w", err)
	}
	const maxNesting = 4 // an index of indexes of …
	found, others, err := layoutDir(dir).fromIndex(index, nil, "", maxNesting)
	if err != nil {
		return nil, fmt.Errorf("OCI layout: %w", err)
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("OCI layout: no image for linux/%s in it, only for %s", runtime.GOARCH, strings.Join(others, ", "))
	}
	return found, nil
}

// layoutDir is where a layout lies.
type layoutDir string

// small checks a blob before it is read into memory.
func (l layoutDir) small(h v1.Hash) error {
	return smallFile(filepath.Join(string(l), "blobs", h.Algorithm, h.Hex))
}

func smallFile(at string) error {
	info, err := os.Stat(at)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file", filepath.Base(at))
	}
	return small(filepath.Base(at), info.Size())
}

// fromIndex collects the images for this machine. names and digest come from the index that holds this one.
func (l layoutDir) fromIndex(index v1.ImageIndex, names []string, digest string, nesting int) (found []candidate, others []string, err error) {
	if nesting == 0 {
		return nil, nil, errors.New("indexes in indexes in indexes")
	}
	m, err := index.IndexManifest()
	if err != nil {
		return nil, nil, err
	}
	for _, d := range m.Manifests {
		own, err := namesOf(d)
		if err != nil {
			return nil, nil, err
		}
		own, of := append(slices.Clone(names), own...), digest
		if of == "" {
			of = d.Digest.String()
		}
		switch {
		case d.MediaType.IsIndex():
			inner, err := l.indexOf(index, d.Digest)
			if err != nil {
				return nil, nil, err
			}
			more, foreign, err := l.fromIndex(inner, own, of, nesting-1)
			if err != nil {
				return nil, nil, err
			}
			found, others = append(found, more...), append(others, foreign...)
		case !d.MediaType.IsImage():
		case d.Platform != nil && !d.Platform.Satisfies(v1.Platform{OS: "linux", Architecture: runtime.GOARCH}):
			others = append(others, d.Platform.String())
		default:
			img, err := l.imageOf(index, d)
			if err != nil {
				return nil, nil, err
			}
			found = append(found, candidate{img: img, names: own, digest: of})
		}
	}
	return found, others, nil
}

// indexOf opens an index within one.
func (l layoutDir) indexOf(index v1.ImageIndex, digest v1.Hash) (v1.ImageIndex, error) {
	if err := l.small(digest); err != nil {
		return nil, err
	}
	return index.ImageIndex(digest)
}

// imageOf opens one image and checks that its parts are what their digests say; layers are checked when they are unpacked.
func (l layoutDir) imageOf(index v1.ImageIndex, d v1.Descriptor) (v1.Image, error) {
	if err := l.small(d.Digest); err != nil {
		return nil, err
	}
	img, err := index.Image(d.Digest)
	if err != nil {
		return nil, err
	}
	raw, err := img.RawManifest()
	if err != nil {
		return nil, err
	}
	m, err := img.Manifest()
	if err != nil {
		return nil, err
	}
	if err := l.small(m.Config.Digest); err != nil {
		return nil, err
	}
	config, err := img.RawConfigFile()
	if err != nil {
		return nil, err
	}
	for want, data := range map[v1.Hash][]byte{d.Digest: raw, m.Config.Digest: config} {
		if got, _, err := v1.SHA256(bytes.NewReader(data)); err != nil || got != want {
			return nil, errors.Join(err, fmt.Errorf("the file blobs/%s/%s does not have the content that its name says", want.Algorithm, want.Hex))
		}
	}
	if m.Config.MediaType != types.OCIConfigJSON && m.Config.MediaType != types.DockerConfigJSON {
		return nil, fmt.Errorf("%s is no container image but a %s", d.Digest, m.Config.MediaType)
	}
	return img, nil
}

// namesOf reads the names that a layout gives an image. A bare tag is none.
func namesOf(d v1.Descriptor) ([]string, error) {
	for _, key := range []string{annotationFull, annotationName} {
		v := d.Annotations[key]
		if v == "" || key == annotationName && !strings.ContainsAny(v, "/:") {
			continue
		}
		full, err := Canonical(v)
		if err != nil {
			return nil, err
		}
		return []string{full}, nil
	}
	return nil, nil
}
