//go:build linux

package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"golang.org/x/sys/unix"

	"github.com/kiwerk/kiwerk/internal/cluster/rootfs"
)

// Progress of a pull or load. Total is 0 where it is not known.
type Progress struct {
	Image         string
	Layer, Layers int
	Bytes, Total  int64
	// Known says that the layer was there already.
	Known bool `json:",omitempty"`
}

// maxConfig bounds configurations, which are held in memory.
const maxConfig = 8 << 20

// add unpacks what is missing of an image and records it. s.busy is read-held.
func (s *Store) add(ctx context.Context, title string, img v1.Image, tell func(Progress)) (imageRecord, error) {
	raw, err := img.RawConfigFile()
	if err != nil {
		return imageRecord{}, fmt.Errorf("configuration: %w", err)
	}
	if len(raw) > maxConfig {
		return imageRecord{}, fmt.Errorf("its configuration has %d bytes, at most %d are accepted", len(raw), maxConfig)
	}
	cfg, err := v1.ParseConfigFile(strings.NewReader(string(raw)))
	if err != nil {
		return imageRecord{}, fmt.Errorf("configuration: %w", err)
	}
	id, _, err := v1.SHA256(strings.NewReader(string(raw)))
	if err != nil {
		return imageRecord{}, err
	}
	if err := fits(cfg); err != nil {
		return imageRecord{}, err
	}
	layers, err := img.Layers()
	if err != nil {
		return imageRecord{}, fmt.Errorf("layers: %w", err)
	}
	if len(layers) != len(cfg.RootFS.DiffIDs) {
		return imageRecord{}, fmt.Errorf("it has %d layers but names %d in its configuration", len(layers), len(cfg.RootFS.DiffIDs))
	}
	if len(layers) == 0 || len(layers) > maxLayers {
		return imageRecord{}, fmt.Errorf("it has %d layers; from 1 to %d are possible", len(layers), maxLayers)
	}
	rec := imageRecord{ID: id.String(), Config: configOf(cfg), Added: s.clock.Now()}
	for i, layer := range layers {
		p := Progress{Image: title, Layer: i + 1, Layers: len(layers)}
		chain, err := s.addCounted(ctx, rec.Layers, cfg.RootFS.DiffIDs[i].String(), layer, p, tell)
		if err != nil {
			return imageRecord{}, err
		}
		rec.Layers = append(rec.Layers, chain)
	}
	if rec.Passwd, rec.Group, err = s.accountFiles(rec.Layers); err != nil {
		return imageRecord{}, err
	}
	if err := writeRecord(s.imageFile(rec.ID), rec); err != nil {
		return imageRecord{}, fmt.Errorf("record image: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.images[rec.ID] = rec
	return rec, nil
}

// fits refuses images for another kind of machine.
func fits(cfg *v1.ConfigFile) error {
	if cfg.OS != "" && cfg.OS != "linux" || cfg.Architecture != "" && cfg.Architecture != runtime.GOARCH {
		return fmt.Errorf("it is for %s/%s, this machine is linux/%s: build or pull it for this platform", cfg.OS, cfg.Architecture, runtime.GOARCH)
	}
	return nil
}

func configOf(cfg *v1.ConfigFile) Config {
	c := cfg.Config
	return Config{
		Entrypoint: c.Entrypoint, Cmd: c.Cmd, Env: c.Env, User: c.User, WorkingDir: c.WorkingDir,
		Volumes: slices.Sorted(maps.Keys(c.Volumes)), StopSignal: c.StopSignal, Labels: c.Labels,
		ExposedPorts: slices.Sorted(maps.Keys(c.ExposedPorts)), Created: cfg.Created.Time, Architecture: cfg.Architecture,
	}
}

// addCounted is addLayer with progress: bytes as they come over the network or from the file.
func (s *Store) addCounted(ctx context.Context, below []string, diff string, layer v1.Layer, p Progress, tell func(Progress)) (string, error) {
	if tell == nil {
		tell = func(Progress) {}
	}
	fetched := false
	chain, err := s.addLayer(ctx, below, diff, func() (io.ReadCloser, error) {
		fetched = true
		if _, err := partial.Descriptor(layer); err == nil {
			// A layer with a descriptor comes compressed; its size is known.
			if p.Total, err = layer.Size(); err != nil {
				return nil, err
			}
			counted, err := partial.CompressedToLayer(&countedLayer{layer, p, tell})
			if err != nil {
				return nil, err
			}
			return counted.Uncompressed()
		}
		rc, err := layer.Uncompressed()
		if err != nil {
			return nil, err
		}
		return &counter{ReadCloser: rc, p: p, tell: tell}, nil
	})
	if err == nil && !fetched {
		p.Known = true
		tell(p)
	}
	return chain, err
}

type countedLayer struct {
	v1.Layer
	p    Progress
	tell func(Progress)
}

// Compressed counts.
func (l *countedLayer) Compressed() (io.ReadCloser, error) {
	rc, err := l.Layer.Compressed()
	if err != nil {
		return nil, err
	}
	return &counter{ReadCloser: rc, p: l.p, tell: l.tell}, nil
}

// counter tells of each step in the bytes that pass.
type counter struct {
	io.ReadCloser
	p    Progress
	tell func(Progress)
	told int64
}

const progressStep = 1 << 20

// Read counts.
func (c *counter) Read(b []byte) (int, error) {
	n, err := c.ReadCloser.Read(b)
	c.p.Bytes += int64(n)
	if c.p.Bytes-c.told >= progressStep || errors.Is(err, io.EOF) {
		c.told = c.p.Bytes
		c.tell(c.p)
	}
	return n, err
}

// imageKey is the lock of one image: held from before it is recorded until it
// has its names, and while it is forgotten.
func imageKey(id string) string { return "image " + id }

// errRemoved is an image that went while it was given a name.
var errRemoved = errors.New("the image was removed meanwhile; pull or load it again")

// setName makes a name mean an image, which it returns; an older meaning is dropped.
func (s *Store) setName(rec nameRecord) (*Image, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	img, ok := s.images[rec.ID]
	if !ok {
		return nil, fmt.Errorf("record name %s: %w", rec.Name, errRemoved)
	}
	if err := writeRecord(s.nameFile(rec.Name), rec); err != nil {
		return nil, fmt.Errorf("record name %s: %w", rec.Name, err)
	}
	s.names[rec.Name] = rec
	return s.view(img), nil
}

// maxAccounts bounds /etc/passwd and /etc/group of an image.
const maxAccounts = 1 << 20

// accountFiles reads the image's own users and groups, as its containers see them.
func (s *Store) accountFiles(chains []string) (passwd, group []byte, err error) {
	root, done, err := s.look(chains)
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, done()) }()
	if passwd, err = readIn(root, "etc/passwd"); err != nil {
		return nil, nil, err
	}
	group, err = readIn(root, "etc/group")
	return passwd, group, err
}

// look opens the merged tree of layers for reading.
func (s *Store) look(chains []string) (root *os.File, done func() error, err error) {
	trees := s.treesOf(chains)
	if len(trees) == 1 {
		root, err = os.Open(trees[0])
		if err != nil {
			return nil, nil, err
		}
		return root, root.Close, nil
	}
	tmp, err := os.MkdirTemp(filepath.Join(s.dir, layersDir), newPrefix)
	if err != nil {
		return nil, nil, err
	}
	merged := filepath.Join(tmp, "merged")
	if err := os.Mkdir(merged, 0o700); err != nil {
		return nil, nil, errors.Join(err, discard(tmp))
	}
	if err := rootfs.MountOverlay(rootfs.Overlay{Lowers: trees, Target: merged}); err != nil {
		return nil, nil, errors.Join(err, discard(tmp))
	}
	if root, err = os.Open(merged); err != nil {
		return nil, nil, errors.Join(err, discard(tmp))
	}
	return root, func() error { return errors.Join(root.Close(), discard(tmp)) }, nil
}

// readIn reads a file below root; links lead within it. What is no file reads as nothing.
func readIn(root *os.File, name string) ([]byte, error) {
	how := &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS | unix.RESOLVE_NO_XDEV}
	fd, err := unix.Openat2(int(root.Fd()), name, how)
	if err != nil {
		return nil, nil //nolint:nilerr // Images without accounts are common, and a broken link is as good as none.
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, err
	}
	f, err := os.Open("/proc/self/fd/" + strconv.Itoa(fd))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxAccounts+1))
	if err == nil && len(data) > maxAccounts {
		return nil, fmt.Errorf("%s of the image has more than %d bytes", name, maxAccounts)
	}
	return data, err
}
