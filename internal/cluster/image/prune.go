//go:build linux

package image

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Removed is what a removal has freed.
type Removed struct {
	Images []string `json:"images"`
	Layers int      `json:"layers"`
	Bytes  int64    `json:"bytes"`
}

// Untag drops one name. The image goes with its last one, unless unused says why it may not.
func (s *Store) Untag(ref string, unused func(id string) error) (Removed, error) {
	full, err := Canonical(ref)
	if err != nil {
		return Removed{}, err
	}
	s.mu.Lock()
	id := s.names[full].ID
	s.mu.Unlock()
	if id == "" {
		return Removed{}, fmt.Errorf("no image is called %s", full)
	}
	gone, err := s.dropName(full, id, unused)
	if err != nil || !gone {
		return Removed{}, err
	}
	r, err := s.sweepLayers()
	r.Images = []string{id}
	return r, err
}

// dropName holds the image's lock, so that it gets no other name meanwhile.
func (s *Store) dropName(full, id string, unused func(id string) error) (gone bool, err error) {
	defer s.working.lock(imageKey(id))()
	others, err := s.dropIfNotLast(full, id)
	if err != nil || others {
		return false, err
	}
	if err := unused(id); err != nil {
		return false, err
	}
	return true, s.forgetImage(id)
}

func (s *Store) dropIfNotLast(full, id string) (others bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.names[full].ID != id {
		return true, fmt.Errorf("%s was removed or means another image since", full)
	}
	for _, o := range s.names {
		others = others || o.ID == id && o.Name != full
	}
	if !others {
		return false, nil
	}
	if err := removeFile(s.nameFile(full)); err != nil {
		return true, err
	}
	delete(s.names, full)
	return true, nil
}

func removeFile(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Remove forgets an image with all its names and removes the layers that no
// other has. The caller knows that no container uses it.
func (s *Store) Remove(id string) (Removed, error) {
	if err := s.removeImage(id); err != nil {
		return Removed{}, err
	}
	r, err := s.sweepLayers()
	r.Images = []string{id}
	return r, err
}

func (s *Store) removeImage(id string) error {
	defer s.working.lock(imageKey(id))()
	return s.forgetImage(id)
}

// forgetImage removes the record first: names without an image are dropped at
// the next start. The image's lock is held.
func (s *Store) forgetImage(id string) error {
	if _, err := hexOf(id); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := removeFile(s.imageFile(id)); err != nil {
		return err
	}
	delete(s.images, id)
	for _, n := range s.names {
		if n.ID != id {
			continue
		}
		if err := removeFile(s.nameFile(n.Name)); err != nil {
			return err
		}
		delete(s.names, n.Name)
	}
	return nil
}

// Prune removes images without a name and layers without an image; with all,
// also pulled images. Neither touches what is used, and none that a file brought.
func (s *Store) Prune(used func(id string) bool, all bool) (Removed, error) {
	var gone []string
	for _, i := range s.List() {
		pruned, err := s.pruneImage(i.ID, used, all)
		if err != nil {
			return Removed{Images: gone}, err
		}
		if pruned {
			gone = append(gone, i.ID)
		}
	}
	r, err := s.sweepLayers()
	r.Images = gone
	return r, err
}

// pruneImage waits for an image that is about to get its names.
func (s *Store) pruneImage(id string, used func(id string) bool, all bool) (pruned bool, err error) {
	defer s.working.lock(imageKey(id))()
	i, ok := s.Find(id)
	if !ok || used(id) || i.Loaded {
		return false, nil
	}
	if nameless := len(i.Names) == 0 && len(i.Digests) == 0; !nameless && !all {
		return false, nil
	}
	return true, s.forgetImage(id)
}

// sweepLayers removes layers that no image has. While layers arrive it does
// nothing, as theirs are not known yet.
func (s *Store) sweepLayers() (Removed, error) {
	var r Removed
	if !s.busy.TryLock() {
		return r, nil
	}
	defer s.busy.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	needed := map[string]bool{}
	for _, i := range s.images {
		for _, c := range i.Layers {
			needed[c] = true
		}
	}
	for chain, rec := range s.layers {
		if needed[chain] {
			continue
		}
		// Renamed first: half a layer must never be found under its name.
		old := filepath.Join(s.dir, layersDir, oldPrefix+strings.TrimPrefix(chain, "sha256:"))
		if err := os.Rename(s.layerDir(chain), old); err != nil {
			return r, err
		}
		delete(s.layers, chain)
		r.Layers++
		r.Bytes += rec.Size
		if err := os.RemoveAll(old); err != nil {
			return r, err
		}
	}
	return r, nil
}
