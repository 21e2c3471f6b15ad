//go:build linux

package cri

import "slices"

// maxRecent is far above the images of one node, and bounds what names that somebody makes up take.
const maxRecent = 1000

// recent keeps the values that were put last.
type recent[V any] struct {
	values map[string]V
	order  []string // oldest first
}

func (r *recent[V]) put(name string, v V) {
	if _, ok := r.values[name]; ok {
		i := slices.Index(r.order, name)
		r.order = slices.Delete(r.order, i, i+1)
	} else if len(r.order) == maxRecent {
		delete(r.values, r.order[0])
		r.order = slices.Delete(r.order, 0, 1)
	}
	if r.values == nil {
		r.values = map[string]V{}
	}
	r.values[name] = v
	r.order = append(r.order, name)
}
