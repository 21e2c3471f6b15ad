package gpu

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// board is n GPUs; those with profiles are cut into instances.
func board(n int, profiles ...[]string) System {
	s := System{Driver: "580.95.05", CUDA: "13.0", Machine: "Test Board (rev 2)"}
	for i := range n {
		g := GPU{
			Index: i, Minor: i, UUID: "GPU-" + string(rune('a'+i)), Name: "NVIDIA A100-SXM4-40GB", Architecture: "Ampere", Memory: 40960,
			ComputeMajor: 8, NUMA: i / 2, MIGCapable: true, BusID: "0000:0" + string(rune('0'+i)) + ":00.0",
		}
		if i < len(profiles) && profiles[i] != nil {
			g.MIG = true
			for k, p := range profiles[i] {
				g.Instances = append(g.Instances, Instance{
					UUID: "MIG-" + string(rune('a'+i)) + string(rune('0'+k)), Profile: p, GI: k + 1, Memory: 4864, Multiprocessors: 14,
					GISlices: 1, CISlices: 1, Engines: Engines{Copy: 1},
				})
			}
		}
		s.GPUs = append(s.GPUs, g)
	}
	return s
}

// brief writes resources as "name=id id …".
func brief(list []Resource) []string {
	var out []string
	for _, r := range list {
		ids := []string{}
		for _, u := range r.Units {
			ids = append(ids, u.ID)
		}
		out = append(out, r.Name+"="+strings.Join(ids, " "))
	}
	return out
}

func slicing(rules ...Shared) Sharing { return Sharing{Strategy: ShareSlices, Resources: rules} }

func TestPartition(t *testing.T) {
	small := []string{"1g.5gb", "1g.5gb"}
	for name, tc := range map[string]struct {
		system System
		policy Policy
		want   []string
		err    string
	}{
		"None":         {system: board(2), want: []string{"nvidia.com/gpu=GPU-a GPU-b"}},
		"NoGPU":        {system: board(0)},
		"CutButNone":   {system: board(1, small), policy: Policy{MIG: MIGNone}, want: []string{"nvidia.com/gpu=GPU-a"}},
		"Single":       {system: board(2, small, small), policy: Policy{MIG: MIGSingle}, want: []string{"nvidia.com/gpu=MIG-a0 MIG-a1 MIG-b0 MIG-b1"}},
		"SingleUncut":  {system: board(2), policy: Policy{MIG: MIGSingle}, want: []string{"nvidia.com/gpu=GPU-a GPU-b"}},
		"SingleHalf":   {system: board(2, small), policy: Policy{MIG: MIGSingle}, err: "use mixed"},
		"SingleUneven": {system: board(2, small, []string{"3g.20gb"}), policy: Policy{MIG: MIGSingle}, err: "use mixed"},
		"Mixed": {
			system: board(3, small, []string{"3g.20gb", "1g.5gb+me"}), policy: Policy{MIG: MIGMixed},
			want: []string{"nvidia.com/gpu=GPU-c", "nvidia.com/mig-1g.5gb=MIG-a0 MIG-a1", "nvidia.com/mig-1g.5gb.me=MIG-b1", "nvidia.com/mig-3g.20gb=MIG-b0"},
		},
		"Slices": {
			system: board(2), policy: Policy{Sharing: slicing(Shared{Name: ResourceGPU, Replicas: 2})},
			want: []string{"nvidia.com/gpu=GPU-a::0 GPU-a::1 GPU-b::0 GPU-b::1"},
		},
		"SlicesOfOthers": {
			system: board(1), policy: Policy{Sharing: slicing(Shared{Name: "nvidia.com/mig-1g.5gb", Replicas: 2})}, want: []string{"nvidia.com/gpu=GPU-a"},
		},
		"RenamedPart": {
			system: board(3), policy: Policy{Sharing: slicing(Shared{Name: ResourceGPU, Rename: "nvidia.com/gpu.shared", Replicas: 2, Devices: &Choice{Count: 1}})},
			want: []string{"nvidia.com/gpu=GPU-b GPU-c", "nvidia.com/gpu.shared=GPU-a::0 GPU-a::1"},
		},
		"PartByList": {
			system: board(3), policy: Policy{Sharing: slicing(Shared{Name: ResourceGPU, Replicas: 2, Devices: &Choice{List: []string{"2", "GPU-a"}}})},
			want: []string{"nvidia.com/gpu=GPU-a::0 GPU-a::1 GPU-c::0 GPU-c::1 GPU-b"},
		},
		"Missing":  {system: board(1), policy: Policy{Sharing: slicing(Shared{Name: ResourceGPU, Replicas: 2, Devices: &Choice{List: []string{"7"}}})}, err: "no device 7"},
		"TooMany":  {system: board(1), policy: Policy{Sharing: slicing(Shared{Name: ResourceGPU, Replicas: 2, Devices: &Choice{Count: 2}})}, err: "the node has 1"},
		"MPSOnMIG": {system: board(1, small), policy: Policy{MIG: MIGSingle, Sharing: Sharing{Strategy: ShareMPS, Resources: []Shared{{Name: ResourceGPU, Replicas: 2}}}}, err: "use timeSlicing"},
		"Collision": {
			system: board(1, small), policy: Policy{MIG: MIGMixed, GPUs: nil, Sharing: slicing(Shared{Name: "nvidia.com/mig-1g.5gb", Replicas: 2, Rename: "nvidia.com/x"}), Profiles: []Rule{{"3*", "nvidia.com/x"}}},
			want: []string{"nvidia.com/x=MIG-a0::0 MIG-a0::1 MIG-a1::0 MIG-a1::1"},
		},
		"SameName": {
			system: board(2, small), policy: Policy{MIG: MIGMixed, Sharing: slicing(Shared{Name: "nvidia.com/mig-1g.5gb", Replicas: 2, Rename: ResourceGPU})}, err: "choose another rename",
		},
		"Renamed": {
			system: board(1), policy: Policy{GPUs: []Rule{{"*H100*", "nvidia.com/h100"}, {"*A100*40GB", "nvidia.com/a100"}}}, want: []string{"nvidia.com/a100=GPU-a"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Partition(tc.system, tc.policy)
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) {
					t.Fatalf("error %v does not say %q", err, tc.err)
				}
				return
			}
			if diff := cmp.Diff(tc.want, brief(got)); err != nil || diff != "" {
				t.Errorf("%v\n%s", err, diff)
			}
		})
	}
}

func TestLabels(t *testing.T) {
	small := []string{"1g.5gb", "1g.5gb"}
	slow := slicing(Shared{Name: ResourceGPU, Replicas: 4})
	renamed := slicing(Shared{Name: ResourceGPU, Replicas: 4, Rename: "nvidia.com/gpu.shared"})
	for name, tc := range map[string]struct {
		system System
		policy Policy
	}{
		"plain":       {board(2), Policy{MIG: MIGNone}},
		"sliced":      {board(2), Policy{MIG: MIGNone, Sharing: slow}},
		"renamed":     {board(2), Policy{MIG: MIGNone, Sharing: renamed}},
		"mps":         {board(2), Policy{MIG: MIGNone, Sharing: Sharing{Strategy: ShareMPS, Resources: slow.Resources}}},
		"mig-single":  {board(2, small, small), Policy{MIG: MIGSingle}},
		"mig-invalid": {board(2, small), Policy{MIG: MIGSingle}},
		"mig-mixed":   {board(3, small, []string{"3g.20gb"}), Policy{MIG: MIGMixed}},
	} {
		t.Run(name, func(t *testing.T) {
			resources, _ := Partition(tc.system, tc.policy) // an invalid layout has labels too
			labels := Labels(tc.system, tc.policy, resources)
			var b strings.Builder
			for _, k := range slices.Sorted(maps.Keys(labels)) {
				b.WriteString(k + "=" + labels[k] + "\n")
			}
			file := filepath.Join("testdata", name+".txt")
			if os.Getenv("UPDATE") != "" {
				if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), b.String()); diff != "" {
				t.Error(diff)
			}
		})
	}
	if l := Labels(System{}, Policy{}, nil); len(l) > 0 {
		t.Errorf("a node without GPUs is labelled %v", l)
	}
}

func TestHealth(t *testing.T) {
	now := time.Unix(1000, 0)
	broken := Health{}.After(Event{GI: -1, XID: 79}, now)
	part := Health{}.After(Event{GI: 2, XID: 94}, now)
	for name, tc := range map[string]struct {
		got    Health
		whole  bool
		second bool // instance 2
		third  bool // instance 3
		reason string
	}{
		"New":           {Health{}, true, true, true, ""},
		"ProgramsFault": {Health{}.After(Event{GI: -1, XID: 31}, now), true, true, true, ""},
		"Broken":        {broken, false, false, false, "Xid 79"},
		"Part":          {part, false, false, true, "Xid 94"},
		"PartThenAll":   {part.After(Event{GI: -1, XID: 79}, now), false, false, false, "Xid 79"},
		"AllThenPart":   {broken.After(Event{GI: 2, XID: 94}, now), false, false, false, "Xid 94"},
		"NotTold":       {broken.Seen(Sample{}, now), false, false, false, "Xid 79"},
		"NeedsReset":    {broken.Seen(Sample{Recovery: "reset"}, now), false, false, false, "Xid 79"},
		"Recovered":     {broken.Seen(Sample{Recovery: RecoveryNone}, now), true, true, true, ""},
		"Lost":          {Health{}.Seen(Sample{Lost: true}, now), false, false, false, "does not answer"},
		"LostAfterXid":  {broken.Seen(Sample{Lost: true}, now), false, false, false, "Xid 79"},
		"Found":         {Health{}.Seen(Sample{Lost: true}, now).Seen(Sample{}, now), true, true, true, ""},
	} {
		h := tc.got
		if h.Healthy(-1) != tc.whole || h.Healthy(2) != tc.second || h.Healthy(3) != tc.third || h.Reason != tc.reason {
			t.Errorf("%s: %+v: healthy %v, instance 2 %v, instance 3 %v", name, h, h.Healthy(-1), h.Healthy(2), h.Healthy(3))
		}
	}
}

func TestPrefer(t *testing.T) {
	pairs := board(4)
	for i := range pairs.GPUs { // 0–2 and 1–3 are linked
		pairs.GPUs[i].Links = map[int]int{(i + 2) % 4: 12}
	}
	ids := func(s ...string) []string { return s }
	whole, _ := Partition(pairs, Policy{})
	plain, _ := Partition(board(4), Policy{})
	shared, _ := Partition(board(2), Policy{Sharing: slicing(Shared{Name: ResourceGPU, Replicas: 3})})
	for name, tc := range map[string]struct {
		system          System
		resource        Resource
		available, must []string
		size            int
		want            []string
		reason          string
	}{
		"Linked":      {system: pairs, resource: whole[0], available: ids("GPU-a", "GPU-b", "GPU-c", "GPU-d"), size: 2, want: ids("GPU-a", "GPU-c"), reason: "NVLink before order"},
		"LinkedMust":  {system: pairs, resource: whole[0], available: ids("GPU-a", "GPU-b", "GPU-c", "GPU-d"), must: ids("GPU-d"), size: 2, want: ids("GPU-d", "GPU-b")},
		"KeepsPairs":  {system: pairs, resource: whole[0], available: ids("GPU-a", "GPU-b", "GPU-c"), size: 1, want: ids("GPU-b"), reason: "one alone does not break a linked pair"},
		"NUMA":        {system: board(4), resource: plain[0], available: ids("GPU-b", "GPU-c", "GPU-d"), size: 2, want: ids("GPU-c", "GPU-d")},
		"Distributed": {system: board(2), resource: shared[0], available: ids("GPU-a::1", "GPU-a::2", "GPU-b::0", "GPU-b::1", "GPU-b::2"), size: 1, want: ids("GPU-b::0"), reason: "the least used device"},
		"Different":   {system: board(2), resource: shared[0], available: ids("GPU-a::0", "GPU-a::1", "GPU-a::2", "GPU-b::2"), size: 2, want: ids("GPU-a::0", "GPU-b::2"), reason: "two replicas of one device are one device"},
		"TooFew":      {system: board(4), resource: plain[0], available: ids("GPU-b"), size: 2, want: ids("GPU-b")},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, Prefer(tc.system, tc.resource, tc.available, tc.must, tc.size)); diff != "" {
				t.Errorf("%s\n%s", tc.reason, diff)
			}
		})
	}
}

func TestSystem_Find(t *testing.T) {
	s := board(2, nil, []string{"1g.5gb"})
	for name, want := range map[string]string{"0": "GPU-a", "GPU-b": "GPU-b", "MIG-b0": "GPU-b", "2": "", "": ""} {
		if g, _ := s.Find(name); g.UUID != want {
			t.Errorf("Find(%q) = %q, want %q", name, g.UUID, want)
		}
	}
}
