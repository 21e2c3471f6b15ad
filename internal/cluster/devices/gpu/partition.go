package gpu

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// MIG strategies: how instances are offered.
const (
	MIGNone   = "none"   // they are not; whole GPUs are
	MIGSingle = "single" // as nvidia.com/gpu; all must be alike
	MIGMixed  = "mixed"  // each profile under a name of its own
)

// Ways to share a device.
const (
	ShareNone   = "none"
	ShareSlices = "time-slicing"
	ShareMPS    = "mps"
)

const (
	// ResourceGPU is what pods ask for.
	ResourceGPU = "nvidia.com/gpu"
	prefix      = "nvidia.com/"
	// replicaMark stands between the id of a device and the number of its replica.
	replicaMark = "::"
	// sharedSuffix marks renamed resources.
	sharedSuffix = ".shared"
)

// Sharing offers the devices of some resources several times.
type Sharing struct {
	Strategy  string // ShareNone, ShareSlices or ShareMPS
	Resources []Shared
	// FailMultiple refuses pods that ask for more than one replica, because
	// two replicas may be the same device.
	FailMultiple bool
}

// Shared says how often the devices of one resource are offered.
type Shared struct {
	Name     string
	Rename   string // "" keeps the name
	Replicas int
	// Devices are the ones concerned; nil means all.
	Devices *Choice
}

// Choice names devices of a resource: the first Count, or those listed by
// index ("0", of a MIG instance "0:1") or UUID.
type Choice struct {
	Count int
	List  []string
}

// Rule gives the devices whose product or profile matches a resource name.
type Rule struct{ Pattern, Resource string }

// Policy is how a node offers its GPUs.
type Policy struct {
	MIG     string
	Sharing Sharing
	// GPUs and Profiles rename; the first match counts.
	GPUs, Profiles []Rule
}

// Resource is what pods can ask for.
type Resource struct {
	Name string
	// Base is the name before sharing.
	Base         string
	Strategy     string
	Replicas     int
	FailMultiple bool
	Units        []Unit
}

// Unit is one device of a resource as the kubelet counts it.
type Unit struct {
	ID string // of the device, with a replica's number behind it
	// UUID is what CUDA calls the device.
	UUID string
	// Index is the GPU's, with ":instance" behind it for an instance.
	Index string
	GPU   int
	// GI is the instance, -1 for a whole GPU.
	GI   int
	NUMA int
}

// Shares tells whether units may be the same device.
func (r Resource) Shares() bool { return r.Replicas > 1 }

var errMIGMixed = errors.New("migStrategy single needs all GPUs cut into instances of one profile; use mixed")

// Partition decides which resources a system offers. With migStrategy single
// and a system that does not fit it, no resource is offered and the error says why.
func Partition(s System, p Policy) ([]Resource, error) {
	list, err := base(s, p)
	if err != nil {
		return nil, err
	}
	if p.Sharing.Strategy == ShareNone || p.Sharing.Strategy == "" {
		return list, nil
	}
	return share(list, p.Sharing)
}

// base lists resources before sharing, sorted by name.
func base(s System, p Policy) ([]Resource, error) {
	single := p.MIG == MIGSingle && slices.ContainsFunc(s.GPUs, func(g GPU) bool { return g.MIG })
	if single && !uniform(s) {
		return nil, errMIGMixed
	}
	var list []Resource
	add := func(name string, u Unit) {
		for i := range list {
			if list[i].Name == name {
				list[i].Units = append(list[i].Units, u)
				return
			}
		}
		list = append(list, Resource{Name: name, Base: name, Strategy: ShareNone, Replicas: 1, Units: []Unit{u}})
	}
	for _, g := range s.GPUs {
		index := strconv.Itoa(g.Index)
		if !g.MIG || p.MIG == MIGNone || p.MIG == "" {
			add(match(p.GPUs, g.Name, ResourceGPU), Unit{ID: g.UUID, UUID: g.UUID, Index: index, GPU: g.Index, GI: -1, NUMA: g.NUMA})
			continue
		}
		for n, i := range g.Instances {
			name := match(p.Profiles, i.Profile, MIGResource(i.Profile))
			if single {
				name = match(p.GPUs, g.Name, ResourceGPU)
			}
			add(name, Unit{ID: i.UUID, UUID: i.UUID, Index: fmt.Sprintf("%s:%d", index, n), GPU: g.Index, GI: i.GI, NUMA: g.NUMA})
		}
	}
	slices.SortFunc(list, func(a, b Resource) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

// uniform tells whether every GPU is cut into instances of one and the same profile.
func uniform(s System) bool {
	profile := ""
	for _, g := range s.GPUs {
		if !g.MIG || len(g.Instances) == 0 {
			return false
		}
		for _, i := range g.Instances {
			if profile == "" {
				profile = i.Profile
			}
			if i.Profile != profile {
				return false
			}
		}
	}
	return true
}

// MIGResource is the resource name of a profile; "+" is not allowed in one.
func MIGResource(profile string) string {
	return prefix + "mig-" + strings.ReplaceAll(profile, "+", ".")
}

// match finds the name that rules give; patterns may hold "*".
func match(rules []Rule, value, standard string) string {
	for _, r := range rules {
		if wildcard(r.Pattern, value) {
			return r.Resource
		}
	}
	return standard
}

// wildcard tells whether value fits pattern, in which "*" stands for any text.
func wildcard(pattern, value string) bool {
	head, tail, star := strings.Cut(pattern, "*")
	if !star {
		return pattern == value
	}
	value, ok := strings.CutPrefix(value, head)
	if !ok {
		return false
	}
	for i := 0; i <= len(value); i++ {
		if wildcard(tail, value[i:]) {
			return true
		}
	}
	return false
}

// share multiplies the units of the resources named.
func share(list []Resource, s Sharing) ([]Resource, error) {
	var out []Resource
	for _, r := range list {
		i := slices.IndexFunc(s.Resources, func(x Shared) bool { return x.Name == r.Name })
		if i < 0 {
			out = append(out, r)
			continue
		}
		rule := s.Resources[i]
		if s.Strategy == ShareMPS && slices.ContainsFunc(r.Units, func(u Unit) bool { return u.GI >= 0 }) {
			return nil, fmt.Errorf("sharing.mps: resource %s is made of MIG instances, which MPS cannot share; use timeSlicing", r.Name)
		}
		chosen, rest, err := rule.choose(r)
		if err != nil {
			return nil, err
		}
		shared := Resource{
			Name: r.Name, Base: r.Name, Strategy: s.Strategy, Replicas: rule.Replicas, FailMultiple: s.FailMultiple,
			Units: replicas(chosen, rule.Replicas),
		}
		if rule.Rename != "" {
			shared.Name = rule.Rename
		}
		out = append(out, shared)
		if len(rest) == 0 {
			continue
		}
		if shared.Name == r.Name {
			// One name cannot offer both kinds in a countable way: the rest is offered once each under it.
			out[len(out)-1].Units = append(out[len(out)-1].Units, rest...)
			continue
		}
		r.Units = rest
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b Resource) int { return strings.Compare(a.Name, b.Name) })
	for i := 1; i < len(out); i++ {
		if out[i].Name == out[i-1].Name {
			return nil, fmt.Errorf("two resources are called %s; choose another rename", out[i].Name)
		}
	}
	return out, nil
}

func (s Shared) choose(r Resource) (chosen, rest []Unit, err error) {
	if s.Devices == nil {
		return r.Units, nil, nil
	}
	if s.Devices.Count > 0 {
		if s.Devices.Count > len(r.Units) {
			return nil, nil, fmt.Errorf("sharing of %s: devices asks for %d, the node has %d", r.Name, s.Devices.Count, len(r.Units))
		}
		return r.Units[:s.Devices.Count], r.Units[s.Devices.Count:], nil
	}
	missing := slices.Clone(s.Devices.List)
	for _, u := range r.Units {
		n := len(missing)
		missing = slices.DeleteFunc(missing, func(d string) bool { return d == u.UUID || d == u.Index })
		if len(missing) < n {
			chosen = append(chosen, u)
		} else {
			rest = append(rest, u)
		}
	}
	if len(missing) > 0 {
		return nil, nil, fmt.Errorf("sharing of %s: no device %s on this node", r.Name, strings.Join(missing, ", "))
	}
	return chosen, rest, nil
}

func replicas(units []Unit, n int) []Unit {
	out := make([]Unit, 0, len(units)*n)
	for _, u := range units {
		for i := range n {
			u.ID = u.UUID + replicaMark + strconv.Itoa(i)
			out = append(out, u)
		}
	}
	return out
}

// DeviceID is the device that a unit's id belongs to.
func DeviceID(unit string) string {
	id, _, _ := strings.Cut(unit, replicaMark)
	return id
}

// SharedName is the name that renameByDefault gives.
func SharedName(resource string) string { return resource + sharedSuffix }
