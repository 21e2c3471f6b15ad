//go:build linux

package image

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"k8s.io/utils/clock"

	"github.com/kiwerk/kiwerk/internal/atomicfile"
)

// Options of a [Store].
type Options struct {
	// Dir holds everything; it is made 0700, because layers hold setuid programs.
	Dir string
	// Transport reaches registries.
	Transport http.RoundTripper
	Clock     clock.PassiveClock
	// Limits of one image, all its layers together; zero takes the defaults.
	Limits Limits
	// Free tells how many bytes the file system of a path has left; nil asks the kernel.
	Free func(path string) (int64, error)
}

var defaultLimits = Limits{Bytes: 256 << 30, Entries: 4_000_000}

// Sources of an image.
const (
	SourceLoad = "load"
	SourcePull = "pull"
)

// Config is what of an image's configuration matters to a container.
type Config struct {
	Entrypoint   []string          `json:"entrypoint,omitempty"`
	Cmd          []string          `json:"cmd,omitempty"`
	Env          []string          `json:"env,omitempty"`
	User         string            `json:"user,omitempty"`
	WorkingDir   string            `json:"workingDir,omitempty"`
	Volumes      []string          `json:"volumes,omitempty"`
	StopSignal   string            `json:"stopSignal,omitempty"`
	Labels       map[string]string `json:"labels,omitempty"`
	ExposedPorts []string          `json:"exposedPorts,omitempty"`
	Created      time.Time         `json:"created"`
	Architecture string            `json:"architecture"`
}

// Image is one image with all its names.
type Image struct {
	// ID is the digest of the image's configuration.
	ID string
	// Names and Digests are full references, by tag and by digest.
	Names, Digests []string
	// Loaded says that a file brought it: no registry could give it back.
	Loaded bool
	Added  time.Time
	Config Config
	// Layers are chain digests, the lowest first.
	Layers []string
	// Size and Inodes are what its layers take on the disk, shared ones included.
	Size, Inodes int64
	passwd       []byte
	group        []byte
}

// imageRecord is images/ID.json.
type imageRecord struct {
	ID     string
	Layers []string
	Config Config
	Added  time.Time
	// Passwd and Group are the image's own files, read when it was unpacked.
	Passwd, Group []byte `json:",omitempty"`
}

// nameRecord is one file below names/.
type nameRecord struct {
	Name   string
	ID     string
	Digest string `json:",omitempty"` // of the manifest
	Source string
	Added  time.Time
}

// Store keeps images. One process at a time may have it open.
type Store struct {
	dir       string
	transport http.RoundTripper
	clock     clock.PassiveClock
	limits    Limits
	free      func(path string) (int64, error)
	owner     Owner
	working   keyed
	// busy is read-held while layers arrive that no image names yet.
	busy sync.RWMutex
	// tasks are questions to registries that nobody waits for.
	tasks sync.WaitGroup

	mu     sync.Mutex
	images map[string]imageRecord
	names  map[string]nameRecord
	layers map[string]layerRecord
	probes map[string]probe
}

// Open reads what is there and removes what an interrupted process left.
func Open(o Options) (*Store, error) {
	if o.Dir == "" || o.Transport == nil || o.Clock == nil {
		return nil, errors.New("image store: Dir, Transport and Clock must be set")
	}
	if o.Limits == (Limits{}) {
		o.Limits = defaultLimits
	}
	if o.Free == nil {
		o.Free = freeBytes
	}
	owner, err := hostOwner()
	if err != nil {
		return nil, fmt.Errorf("image store: %w", err)
	}
	s := &Store{
		dir: o.Dir, transport: o.Transport, clock: o.Clock, limits: o.Limits, free: o.Free, owner: owner,
		images: map[string]imageRecord{}, names: map[string]nameRecord{}, layers: map[string]layerRecord{}, probes: map[string]probe{},
	}
	for _, d := range []string{"", layersDir, imagesDir, namesDir} {
		if err := os.MkdirAll(filepath.Join(o.Dir, d), 0o700); err != nil {
			return nil, fmt.Errorf("image store: %w", err)
		}
	}
	if err := errors.Join(os.Chmod(o.Dir, 0o700), s.sweepTemporary(), s.read()); err != nil {
		return nil, fmt.Errorf("image store %s: %w", o.Dir, err)
	}
	return s, nil
}

// Close waits for questions to registries that are still open; they are short.
func (s *Store) Close() { s.tasks.Wait() }

// sweepTemporary removes what a process that ended in the middle has left.
func (s *Store) sweepTemporary() error {
	var errs []error
	for _, pattern := range []string{"*/.*", ".*"} { // all that is not finished begins with a dot
		found, err := filepath.Glob(filepath.Join(s.dir, pattern))
		errs = append(errs, err)
		for _, dir := range found {
			errs = append(errs, discard(dir))
		}
	}
	return errors.Join(errs...)
}

// read fills the index. A damaged record is as good as none: the image is
// pulled or loaded again.
func (s *Store) read() error {
	dirs, err := os.ReadDir(filepath.Join(s.dir, layersDir))
	if err != nil {
		return err
	}
	for _, d := range dirs {
		var rec layerRecord
		at := filepath.Join(s.dir, layersDir, d.Name())
		if err := readRecord(filepath.Join(at, layerFile), &rec); err != nil || s.layerDir(rec.Chain) != at {
			if err := os.RemoveAll(at); err != nil {
				return err
			}
			continue
		}
		s.layers[rec.Chain] = rec
	}
	if err := eachRecord(filepath.Join(s.dir, imagesDir), func(rec imageRecord) bool {
		_, err := hexOf(rec.ID)
		whole := err == nil && !slices.ContainsFunc(rec.Layers, func(c string) bool { return !s.layerKnown(c) })
		if whole {
			s.images[rec.ID] = rec
		}
		return whole
	}); err != nil {
		return err
	}
	return eachRecord(filepath.Join(s.dir, namesDir), func(rec nameRecord) bool {
		if _, ok := s.images[rec.ID]; !ok {
			return false
		}
		s.names[rec.Name] = rec
		return true
	})
}

// eachRecord decodes the files of a directory and removes those that are not to be kept.
func eachRecord[T any](dir string, keep func(T) bool) error {
	files, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, f := range files {
		var rec T
		at := filepath.Join(dir, f.Name())
		if err := readRecord(at, &rec); err != nil || !keep(rec) {
			if err := os.Remove(at); err != nil {
				return err
			}
		}
	}
	return nil
}

// writeRecord replaces a file in one step and has it on the disk before that.
func writeRecord(path string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return atomicfile.Write(path, data, 0o600)
}

func readRecord(path string, v any) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return json.Unmarshal(data, v)
}

// Canonical is the full form of an image's name: docker.io/library/busybox:latest for busybox.
func Canonical(ref string) (string, error) {
	r, err := name.ParseReference(ref, name.WeakValidation)
	if err != nil {
		return "", fmt.Errorf("image name %.200q: %w", ref, err)
	}
	return canonical(r), nil
}

// dockerHub has a name for people and one for its protocol.
const dockerHub = "docker.io"

func canonical(r name.Reference) string {
	if rest, ok := strings.CutPrefix(r.Name(), name.DefaultRegistry+"/"); ok {
		return dockerHub + "/" + rest
	}
	return r.Name()
}

func (s *Store) imageFile(id string) string {
	return filepath.Join(s.dir, imagesDir, strings.TrimPrefix(id, "sha256:")+".json")
}

func (s *Store) nameFile(name string) string {
	sum := sha256.Sum256([]byte(name))
	return filepath.Join(s.dir, namesDir, hex.EncodeToString(sum[:])+".json")
}

func (s *Store) layerKnown(chain string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.layers[chain]
	return ok
}

// Find looks an image up by name, by name with digest, by id or by the beginning of its id (at least seven digits).
func (s *Store) Find(ref string) (*Image, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if id := s.idOf(ref); id != "" {
		return s.view(s.images[id]), true
	}
	return nil, false
}

// minPrefix keeps short names from being taken for ids.
const minPrefix = 7

func (s *Store) idOf(ref string) string {
	if _, ok := s.images[ref]; ok {
		return ref
	}
	full, err := Canonical(ref)
	if err == nil {
		if n, ok := s.names[full]; ok {
			return n.ID
		}
		for _, n := range s.names {
			if n.Digest != "" && digestName(n) == full {
				return n.ID
			}
		}
	}
	prefix := strings.TrimPrefix(ref, "sha256:")
	if len(prefix) < minPrefix {
		return ""
	}
	found := ""
	for id := range s.images {
		if strings.HasPrefix(id, "sha256:"+prefix) {
			if found != "" {
				return ""
			}
			found = id
		}
	}
	return found
}

// digestName is the reference by digest that belongs to a name.
func digestName(n nameRecord) string {
	r, err := name.ParseReference(n.Name, name.WeakValidation)
	if err != nil || n.Digest == "" {
		return ""
	}
	return canonical(r.Context().Digest(n.Digest))
}

// view collects what is known of an image; s.mu is held.
func (s *Store) view(rec imageRecord) *Image {
	i := &Image{ID: rec.ID, Layers: rec.Layers, Config: rec.Config, Added: rec.Added, passwd: rec.Passwd, group: rec.Group}
	for _, n := range s.names {
		if n.ID != rec.ID {
			continue
		}
		i.Loaded = i.Loaded || n.Source == SourceLoad
		if !strings.Contains(n.Name, "@") {
			i.Names = append(i.Names, n.Name)
		}
		if d := digestName(n); d != "" && !slices.Contains(i.Digests, d) {
			i.Digests = append(i.Digests, d)
		}
	}
	slices.Sort(i.Names)
	slices.Sort(i.Digests)
	for _, c := range rec.Layers {
		i.Size += s.layers[c].Size
		i.Inodes += s.layers[c].Inodes
	}
	return i
}

// List returns all images, the newest first.
func (s *Store) List() []*Image {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []*Image
	for _, rec := range s.images {
		list = append(list, s.view(rec))
	}
	slices.SortFunc(list, func(a, b *Image) int {
		if c := b.Added.Compare(a.Added); c != 0 {
			return c
		}
		return cmp.Compare(a.ID, b.ID)
	})
	return list
}

// Usage is what all layers take on the disk.
func (s *Store) Usage() (size, inodes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.layers {
		size += l.Size
		inodes += l.Inodes
	}
	return size, inodes
}

// Trees are the directories of an image's layers, the topmost first.
func (s *Store) Trees(i *Image) []string { return s.treesOf(i.Layers) }

// keyed is one lock per key.
type keyed struct {
	mu    sync.Mutex
	locks map[string]*keyedLock
}

type keyedLock struct {
	mu   sync.Mutex
	uses int
}

// lock waits for the key and returns what gives it back.
func (k *keyed) lock(key string) (unlock func()) {
	k.mu.Lock()
	if k.locks == nil {
		k.locks = map[string]*keyedLock{}
	}
	l := k.locks[key]
	if l == nil {
		l = &keyedLock{}
		k.locks[key] = l
	}
	l.uses++
	k.mu.Unlock()
	l.mu.Lock()
	return func() {
		l.mu.Unlock()
		k.mu.Lock()
		defer k.mu.Unlock()
		if l.uses--; l.uses == 0 {
			delete(k.locks, key)
		}
	}
}
