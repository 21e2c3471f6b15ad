//go:build linux

package holder

import (
	"strings"
	"testing"
)

func TestLargest(t *testing.T) {
	for name, c := range map[string]struct {
		file string
		want idRange
	}{
		"Nothing":   {"", idRange{}},
		"Others":    {"other:1000:5\n10:1:1\n", idRange{}},
		"ByName":    {"# comment\nme:100000:65536\n", idRange{100000, 65536}},
		"ByID":      {"1000:100000:65536", idRange{100000, 65536}},
		"Largest":   {"me:1:10\nme:500:20\nme:900:5\n", idRange{500, 20}},
		"Malformed": {"me:x:10\nme:1\nme:1:2:3\nme:-1:5\nme:4294967295:10\n", idRange{}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := largest(strings.NewReader(c.file), "me", "1000"); got != c.want {
				t.Errorf("%+v, want %+v", got, c.want)
			}
		})
	}
}

func FuzzLargest(f *testing.F) {
	f.Add("me:100000:65536\n1000:1:2")
	f.Fuzz(func(t *testing.T, s string) {
		if r := largest(strings.NewReader(s), "me", "1000"); uint64(r.first)+uint64(r.count) > 1<<32-1 {
			t.Errorf("range %+v ends above what an id can be", r)
		}
	})
}
