package simulate

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/kiwerk/kiwerk/internal/cluster/devices/gpu"
)

const (
	// maxGPUs is as many as the largest machines have.
	maxGPUs = 64
	// maxPerNUMA GPUs share a node of memory.
	maxPerNUMA = 4
	slicesMIG  = 7
	partsMIG   = 8

	driverVersion = "580.95.05"
	cudaVersion   = "13.0"
)

// Models are the names that Parse knows.
func Models() []string { return slices.Sorted(maps.Keys(models)) }

// Parse reads MODEL:COUNT or MODEL:COUNT:PROFILE*N+PROFILE…, several with
// commas, as "h100:8" or "a100:2:3g.20gb*2,t4:1". seed makes the UUIDs, so
// that two nodes have different ones and a node the same at each start.
func Parse(spec, seed string) (gpu.System, error) {
	s := gpu.System{Driver: driverVersion, CUDA: cudaVersion, Machine: "Kiwerk simulated GPUs", Simulated: true}
	for _, part := range strings.Split(spec, ",") {
		fields := strings.SplitN(strings.TrimSpace(part), ":", 3)
		m, ok := models[strings.ToLower(fields[0])]
		if !ok {
			return s, fmt.Errorf("simulated GPUs %q: no model %q; there are %s", spec, fields[0], strings.Join(Models(), ", "))
		}
		count := 1
		if len(fields) > 1 {
			n, err := strconv.Atoi(fields[1])
			if err != nil || n < 1 {
				return s, fmt.Errorf("simulated GPUs %q: %q is not a number of GPUs; write MODEL:COUNT, as h100:8", spec, fields[1])
			}
			count = n
		}
		if count > maxGPUs-len(s.GPUs) {
			return s, fmt.Errorf("simulated GPUs %q: more than %d on one node", spec, maxGPUs)
		}
		var cut []profile
		if len(fields) > 2 {
			var err error
			if cut, err = m.cut(fields[2]); err != nil {
				return s, fmt.Errorf("simulated GPUs %q: %w", spec, err)
			}
		}
		first := len(s.GPUs)
		for i := range count {
			s.GPUs = append(s.GPUs, m.gpu(first+i, first, count, cut, seed))
		}
	}
	return s, nil
}

// cut reads PROFILE*N+PROFILE… and checks that it fits.
func (m model) cut(layout string) ([]profile, error) {
	if len(m.profiles) == 0 {
		return nil, fmt.Errorf("%s has no MIG", m.name)
	}
	var list []profile
	slicesUsed, partsUsed := 0, 0
	for _, item := range splitProfiles(layout) {
		name, times, many := strings.Cut(item, "*")
		i := slices.IndexFunc(m.profiles, func(p profile) bool { return p.name == name })
		if i < 0 {
			var names []string
			for _, p := range m.profiles {
				names = append(names, p.name)
			}
			return nil, fmt.Errorf("%s has no MIG profile %q; it has %s", m.name, name, strings.Join(names, ", "))
		}
		n := 1
		if many {
			var err error
			if n, err = strconv.Atoi(times); err != nil || n < 1 || n > slicesMIG {
				return nil, fmt.Errorf("%q is not a number of instances", times)
			}
		}
		p := m.profiles[i]
		if p.most > 0 && n > p.most {
			return nil, fmt.Errorf("%s can have only %d of %s", m.name, p.most, p.name)
		}
		for range n {
			list = append(list, p)
			slicesUsed, partsUsed = slicesUsed+p.slices, partsUsed+p.parts
		}
	}
	if slicesUsed > slicesMIG || partsUsed > partsMIG {
		return nil, fmt.Errorf("%s do not fit on %s: %d of %d compute slices, %d of %d parts of the memory", layout, m.name, slicesUsed, slicesMIG, partsUsed, partsMIG)
	}
	return list, nil
}

// splitProfiles separates at "+", which is also part of "1g.10gb+me".
func splitProfiles(layout string) []string {
	var out []string
	for _, item := range strings.Split(layout, "+") {
		if n := len(out); n > 0 && (item == "me" || strings.HasPrefix(item, "me*")) {
			out[n-1] += "+" + item
			continue
		}
		out = append(out, item)
	}
	return out
}

func (m model) gpu(index, first, count int, cut []profile, seed string) gpu.GPU {
	g := gpu.GPU{
		Index: index, Minor: index, UUID: "GPU-" + uuid(seed, m.name, index, 0), Name: m.name, Architecture: m.architecture,
		BusID: fmt.Sprintf("00000000:%02X:00.0", busNumber(index)), Memory: m.memory, ComputeMajor: m.major, ComputeMinor: m.minor,
		NUMA: index / maxPerNUMA, PowerLimit: m.limit, MIGCapable: len(m.profiles) > 0, MIG: len(cut) > 0,
	}
	if m.links > 0 && count > 1 {
		g.Links = map[int]int{}
		for other := first; other < first+count; other++ {
			if other != index {
				g.Links[other] = m.links
			}
		}
	}
	for i, p := range cut {
		g.Instances = append(g.Instances, gpu.Instance{
			UUID: "MIG-" + uuid(seed, m.name, index, i+1), Profile: p.name, GI: i + 1, Memory: p.memory, Multiprocessors: p.multiprocessors,
			GISlices: p.slices, CISlices: p.slices, Engines: p.engines,
		})
	}
	return g
}

// busNumber spreads devices as real boards do.
func busNumber(index int) int { return 0x04 + index*3 }

// uuid is the same for the same arguments.
func uuid(seed, name string, index, instance int) string {
	b := sha256.Sum256([]byte(fmt.Sprintf("%s/%s/%d/%d", seed, name, index, instance)))
	b[6], b[8] = b[6]&0x0f|0x50, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:16])
}
