//go:build linux

package ids

import (
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for name, c := range map[string]struct {
		data    string
		has     []uint32
		lacks   []uint32
		wantErr bool
	}{
		"Host":        {"         0          0 4294967295\n", []uint32{0, 1000, 4294967294}, nil, false},
		"OneUser":     {"0 1000 1\n", []uint32{0}, []uint32{1, 1000}, false},
		"Subordinate": {"0 1000 1\n1 100000 65536\n", []uint32{0, 1, 1000, 65536}, []uint32{65537}, false},
		"Malformed":   {"0 1000\n", nil, nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			mapped, err := parse(c.data)
			if (err != nil) != c.wantErr {
				t.Fatal(err)
			}
			has := func(id uint32) bool {
				return mapped.Has(int64(id))
			}
			for _, id := range c.has {
				if !has(id) {
					t.Errorf("%d is lacking", id)
				}
			}
			for _, id := range c.lacks {
				if has(id) {
					t.Errorf("%d is there", id)
				}
			}
		})
	}
}

func TestWhy(t *testing.T) {
	if got := why(Ranges{{0, 1}, {1, 65536}}); !strings.Contains(got, "up to 65536;") {
		t.Error(got)
	}
	if got := why(Ranges{{0, 1}}); !strings.Contains(got, "no subordinate ids") {
		t.Error(got)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("0 1000 1\n1 100000 65536\n")
	f.Fuzz(func(_ *testing.T, s string) { _, _ = parse(s) })
}

func TestRanges_One(t *testing.T) {
	for data, want := range map[string]bool{"0 1000 1\n": true, "0 0 4294967295\n": false, "0 1000 1\n1 100000 65536\n": false, "": false} {
		mapped, err := parse(data)
		if err != nil || mapped.One() != want {
			t.Errorf("%q: %v, %v", data, mapped.One(), err)
		}
	}
}
