package simulate

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"github.com/kiwerk/kiwerk/internal/cluster/devices/gpu"
)

func TestParse(t *testing.T) {
	for spec, want := range map[string]string{
		"h100:8":                          "8 GPUs 0 instances",
		"t4":                              "1 GPUs 0 instances",
		"H100:2, L4:1":                    "3 GPUs 0 instances",
		"a100:2:3g.20gb*2,t4:1":           "3 GPUs 4 instances",
		"h100:1:1g.10gb+me+1g.10gb*6":     "1 GPUs 7 instances",
		"a30:1:1g.6gb*4":                  "1 GPUs 4 instances",
		"":                                `no model ""`,
		"x100:1":                          `no model "x100"; there are a100`,
		"h100:0":                          `"0" is not a number`,
		"h100:-1":                         "is not a number",
		"h100:65":                         "more than 64",
		"h100:1,h100:9223372036854775807": "more than 64",
		"t4:1:1g.5gb":                     "has no MIG",
		"h100:1:9g":                       "has no MIG profile \"9g\"; it has 1g.10gb",
		"h100:1:3g.40gb*3":                "do not fit",
		"h100:1:1g.10gb*0":                "is not a number of instances",
		"h100:1:1g.10gb+me*2":             "only 1 of 1g.10gb+me",
	} {
		s, err := Parse(spec, "n")
		if err != nil {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q: error %v does not say %q", spec, err, want)
			}
			continue
		}
		instances := 0
		for _, g := range s.GPUs {
			instances += len(g.Instances)
		}
		if got := format(len(s.GPUs), instances); got != want {
			t.Errorf("%q: %s, want %s", spec, got, want)
		}
	}
}

func format(gpus, instances int) string {
	return strings.Join([]string{string(rune('0' + gpus)), "GPUs", string(rune('0' + instances)), "instances"}, " ")
}

// Every model has all that labels and metrics need, and profiles that fit.
func TestModels(t *testing.T) {
	for _, name := range Models() {
		s, err := Parse(name+":2", "n")
		if err != nil {
			t.Fatal(err)
		}
		g := s.GPUs[0]
		if g.Memory == 0 || g.ComputeMajor == 0 || g.PowerLimit == 0 || g.UUID == s.GPUs[1].UUID {
			t.Errorf("%s: %+v", name, g)
		}
		if l := gpu.Labels(s, gpu.Policy{}, nil); l["nvidia.com/gpu.family"] == "undefined" {
			t.Errorf("%s has no family", name)
		}
		for _, p := range models[name].profiles {
			if _, err := Parse(name+":1:"+p.name, "n"); err != nil {
				t.Errorf("%s: %v", p.name, err)
			}
		}
	}
}

func TestParse_uuidsStay(t *testing.T) {
	a, _ := Parse("h100:2:1g.10gb*2", "one")
	b, _ := Parse("h100:2:1g.10gb*2", "one")
	c, _ := Parse("h100:2:1g.10gb*2", "two")
	if a.GPUs[1].UUID != b.GPUs[1].UUID || a.GPUs[1].Instances[0].UUID != b.GPUs[1].Instances[0].UUID || a.GPUs[1].UUID == c.GPUs[1].UUID {
		t.Error("UUIDs must be those of the node, at each start")
	}
}

func FuzzParse(f *testing.F) {
	f.Add("a100:2:3g.20gb*2,t4:1")
	f.Add("h100:1:1g.10gb+me+1g.10gb*6")
	f.Fuzz(func(t *testing.T, spec string) {
		s, err := Parse(spec, "n")
		if err == nil && (len(s.GPUs) == 0 || len(s.GPUs) > maxGPUs) {
			t.Errorf("%q: %d GPUs", spec, len(s.GPUs))
		}
	})
}

func TestDriver_failAndRecover(t *testing.T) {
	file := filepath.Join(t.TempDir(), "faults.json")
	system, err := Parse("h100:2", "n")
	if err != nil {
		t.Fatal(err)
	}
	clock := clocktesting.NewFakePassiveClock(time.Unix(0, 0))
	open := func() *Driver {
		t.Helper()
		d, err := Open(system, file, clock)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	d := open()
	if _, err := d.Fail("9", 79); !errors.Is(err, ErrNoGPU) {
		t.Errorf("failing a GPU that is not there: %v", err)
	}
	if _, err := d.Fail("1", 79); err != nil {
		t.Fatal(err)
	}
	want := gpu.Event{UUID: system.GPUs[1].UUID, GI: -1, XID: 79}
	if got := <-d.Events(); got != want {
		t.Errorf("event %+v, want %+v", got, want)
	}
	// The next daemon finds the GPU as broken as it was.
	_ = d.Close()
	d = open()
	if got := <-d.Events(); got != want {
		t.Errorf("after a restart: event %+v, want %+v", got, want)
	}
	samples, _ := d.Samples(t.Context())
	if !samples[1].Lost || samples[0].Lost || samples[1].Recovery != "reset" {
		t.Errorf("samples of a lost GPU: %+v", samples)
	}
	if _, err := d.Recover(system.GPUs[1].UUID); err != nil {
		t.Fatal(err)
	}
	samples, _ = d.Samples(t.Context())
	if samples[1].Lost || samples[1].Recovery != gpu.RecoveryNone {
		t.Errorf("after the reset: %+v", samples[1])
	}
}

func TestDriver_load(t *testing.T) {
	system, _ := Parse("h100:2", "n")
	clock := clocktesting.NewFakePassiveClock(time.Unix(0, 0))
	d, err := Open(system, filepath.Join(t.TempDir(), "f"), clock)
	if err != nil {
		t.Fatal(err)
	}
	d.Load(map[string]Load{system.GPUs[0].UUID: {20, 60}})
	var seen []int
	for range 20 {
		clock.SetTime(clock.Now().Add(3 * time.Second))
		s, _ := d.Samples(t.Context())
		if s[0].Used+s[0].Free+s[0].Reserved != system.GPUs[0].Memory {
			t.Fatalf("memory does not add up: %+v", s[0])
		}
		if s[1].Utilization != 0 || s[1].Used != 0 || s[0].Power <= s[1].Power || s[0].Temperature <= s[1].Temperature {
			t.Fatalf("busy %+v, idle %+v", s[0], s[1])
		}
		seen = append(seen, s[0].Utilization)
	}
	if slices.Min(seen) < 20 || slices.Max(seen) > 60 || slices.Max(seen)-slices.Min(seen) < 20 {
		t.Errorf("utilisation went through %v, want most of 20 to 60", seen)
	}
}
