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

// Untag drops one name. The image goes with its last one.
func (s *Store) Untag(ref string) (Removed, error) {
	full, err := Canonical(ref)
	if err != nil {
		return Removed{}, err
	}
	s.mu.Lock()
	n, ok := s.names[full]
	others := 0
	for _, o := range s.names {
		if o.ID == n.ID && o.Name != full {
			others++
		}
	}
	s.mu.Unlock()
	if !ok {
		return Removed{}, fmt.Errorf("no image is called %s", full)
	}
	if others == 0 {
		return s.Remove(n.ID)
	}
	return Removed{}, s.dropName(full)
}

func (s *Store) dropName(full string) error {
	if err := removeFile(s.nameFile(full)); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.names, full)
	return nil
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
	if err := s.forgetImage(id); err != nil {
		return Removed{}, err
	}
	r, err := s.sweepLayers()
	r.Images = []string{id}
	return r, err
}

// forgetImage removes the record first: names without an image are dropped at the next start.
func (s *Store) forgetImage(id string) error {
	if _, err := hexOf(id); err != nil {
		return err
	}
	if err := removeFile(s.imageFile(id)); err != nil {
		return err
	}
	s.mu.Lock()
	var names []string
	for _, n := range s.names {
		if n.ID == id {
			names = append(names, n.Name)
		}
	}
	delete(s.images, id)
	s.mu.Unlock()
	for _, n := range names {
		if err := s.dropName(n); err != nil {
			return err
		}
	}
	return nil
}

// Prune removes images without a name and layers without an image; with all,
// also pulled images. Neither touches what is used, and none that a file brought.
func (s *Store) Prune(used func(id string) bool, all bool) (Removed, error) {
	var gone []string
	for _, i := range s.List() {
		nameless := len(i.Names) == 0 && len(i.Digests) == 0
		if used(i.ID) || i.Loaded || !nameless && !all {
			continue
		}
		if err := s.forgetImage(i.ID); err != nil {
			return Removed{Images: gone}, err
		}
		gone = append(gone, i.ID)
	}
	r, err := s.sweepLayers()
	r.Images = gone
	return r, err
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
