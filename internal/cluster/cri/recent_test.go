//go:build linux

package cri

import (
	"strconv"
	"testing"
)

func TestRecent(t *testing.T) {
	var r recent[int]
	for i := range maxRecent + 2 {
		r.put(strconv.Itoa(i), i)
		r.put("0", -1) // stays, as it is put again
	}
	if len(r.values) != maxRecent || len(r.order) != maxRecent {
		t.Errorf("%d values, %d names", len(r.values), len(r.order))
	}
	for name, want := range map[string]bool{"0": true, "1": false, "2": false, "3": true, strconv.Itoa(maxRecent + 1): true} {
		if _, ok := r.values[name]; ok != want {
			t.Errorf("%s is there: %v", name, ok)
		}
	}
}
