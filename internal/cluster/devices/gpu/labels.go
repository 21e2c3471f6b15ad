package gpu

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// LabelPrefix is what all labels written here begin with.
const LabelPrefix = prefix

// families are NVIDIA's names by the architecture of a device.
var families = map[string]bool{
	"kepler": true, "maxwell": true, "pascal": true, "volta": true, "turing": true, "ampere": true, "hopper": true, "blackwell": true,
	"ada-lovelace": true,
}

// Labels are what feature discovery writes on a node. A node without GPUs has none.
func Labels(s System, p Policy, resources []Resource) map[string]string {
	l := map[string]string{}
	if len(s.GPUs) == 0 {
		return l
	}
	versions(l, s)
	if s.Machine != "" {
		l["gpu.machine"] = labelValue(s.Machine)
	}
	capable := slices.ContainsFunc(s.GPUs, func(g GPU) bool { return g.MIGCapable })
	l["mig.capable"] = strconv.FormatBool(capable)
	l["mps.capable"] = strconv.FormatBool(p.Sharing.Strategy == ShareMPS)
	l["vgpu.present"] = "false"
	l["gpu.mode"] = "compute"
	strategy := p.MIG
	if strategy == "" {
		strategy = MIGNone
	}
	if capable || strategy != MIGNone {
		l["mig.strategy"] = strategy
	}
	whole(l, s, p, resources)
	switch {
	case strategy == MIGSingle && slices.ContainsFunc(s.GPUs, func(g GPU) bool { return g.MIG }):
		single(l, s, p, resources)
	case strategy == MIGMixed:
		mixed(l, s, p, resources)
	}
	out := make(map[string]string, len(l))
	for k, v := range l {
		out[prefix+k] = v
	}
	return out
}

func versions(l map[string]string, s System) {
	l["cuda.driver-version.full"], l["cuda.runtime-version.full"] = s.Driver, s.CUDA
	for i, names := range [][2]string{{"major", "major"}, {"minor", "minor"}, {"revision", "rev"}} {
		l["cuda.driver-version."+names[0]], l["cuda.driver."+names[1]] = number(s.Driver, i), number(s.Driver, i)
		if i < 2 {
			l["cuda.runtime-version."+names[0]], l["cuda.runtime."+names[1]] = number(s.CUDA, i), number(s.CUDA, i)
		}
	}
}

// whole describes GPUs by the product that most of them are.
func whole(l map[string]string, s System, p Policy, resources []Resource) {
	first, count := mostly(s.GPUs)
	l["gpu.count"] = strconv.Itoa(count)
	l["gpu.memory"] = strconv.FormatUint(first.Memory, 10)
	l["gpu.family"] = family(first.Architecture)
	l["gpu.compute.major"], l["gpu.compute.minor"] = strconv.Itoa(first.ComputeMajor), strconv.Itoa(first.ComputeMinor)
	sharedLabels(l, "gpu", labelValue(first.Name), match(p.GPUs, first.Name, ResourceGPU), resources)
}

// sharedLabels writes product, replicas and strategy; a product that is shared under its own name says so.
func sharedLabels(l map[string]string, key, product, base string, resources []Resource) {
	replicas, strategy := 1, ShareNone
	for _, r := range resources {
		if r.Base != base || r.Strategy == ShareNone {
			continue
		}
		replicas, strategy = r.Replicas, r.Strategy
		if r.Name == r.Base {
			product += "-SHARED"
		}
	}
	l[key+".product"] = product
	l[key+".replicas"] = strconv.Itoa(replicas)
	l[key+".sharing-strategy"] = strategy
}

// mostly is the product that most GPUs are, and how many are of it.
func mostly(list []GPU) (GPU, int) {
	counts := map[string]int{}
	for _, g := range list {
		counts[g.Name]++
	}
	best := list[0]
	for _, g := range list {
		if counts[g.Name] > counts[best.Name] {
			best = g
		}
	}
	return best, counts[best.Name]
}

func family(architecture string) string {
	name := strings.ReplaceAll(strings.ToLower(architecture), " ", "-")
	if !families[name] {
		return "undefined"
	}
	return name
}

// single describes instances as if they were GPUs.
func single(l map[string]string, s System, p Policy, resources []Resource) {
	first, _ := mostly(s.GPUs)
	if !uniform(s) {
		l["gpu.product"] = labelValue(first.Name) + "-MIG-INVALID"
		l["gpu.count"], l["gpu.replicas"], l["gpu.memory"] = "0", "0", "0"
		return
	}
	instance, count := s.GPUs[0].Instances[0], 0
	for _, g := range s.GPUs {
		count += len(g.Instances)
	}
	instanceLabels(l, "gpu", instance, count)
	product := labelValue(first.Name) + "-MIG-" + labelValue(instance.Profile)
	sharedLabels(l, "gpu", product, match(p.GPUs, first.Name, ResourceGPU), resources)
}

// mixed describes each profile beside the GPUs that are not cut.
func mixed(l map[string]string, s System, p Policy, resources []Resource) {
	type kind struct {
		instance Instance
		product  string
		count    int
	}
	kinds := map[string]*kind{}
	wholes := 0
	for _, g := range s.GPUs {
		if !g.MIG {
			wholes++
		}
		for _, i := range g.Instances {
			if kinds[i.Profile] == nil {
				kinds[i.Profile] = &kind{instance: i, product: labelValue(g.Name) + "-MIG-" + labelValue(i.Profile)}
			}
			kinds[i.Profile].count++
		}
	}
	l["gpu.count"] = strconv.Itoa(wholes)
	for profile, k := range kinds {
		key := strings.TrimPrefix(MIGResource(profile), prefix)
		instanceLabels(l, key, k.instance, k.count)
		sharedLabels(l, key, k.product, match(p.Profiles, profile, MIGResource(profile)), resources)
	}
}

func instanceLabels(l map[string]string, key string, i Instance, count int) {
	l[key+".count"] = strconv.Itoa(count)
	l[key+".memory"] = strconv.FormatUint(i.Memory, 10)
	for name, value := range map[string]int{
		"multiprocessors": i.Multiprocessors, "slices.gi": i.GISlices, "slices.ci": i.CISlices,
		"engines.copy": i.Engines.Copy, "engines.decoder": i.Engines.Decoder, "engines.encoder": i.Engines.Encoder,
		"engines.jpeg": i.Engines.JPEG, "engines.ofa": i.Engines.OFA,
	} {
		l[key+"."+name] = strconv.Itoa(value)
	}
}

var notLabel = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

const maxLabel = 63

// labelValue makes a value that Kubernetes accepts of a product name.
func labelValue(s string) string {
	s = notLabel.ReplaceAllString(strings.TrimSpace(strings.ReplaceAll(s, "+", ".")), "-")
	return strings.Trim(s[:min(len(s), maxLabel)], "-._")
}
