package gpu

import (
	"slices"
	"strings"
)

// Prefer picks size units of those available, among them the ones that must
// be. Of shared devices it takes the least used ones, and different ones as
// long as there are; of whole GPUs a set that is well connected. Order and
// choice depend on nothing but the arguments.
func Prefer(s System, r Resource, available, must []string, size int) []string {
	chosen := slices.Clone(must)
	rest := slices.DeleteFunc(slices.Clone(available), func(id string) bool { return slices.Contains(must, id) })
	slices.SortFunc(rest, func(a, b string) int { return r.position(a) - r.position(b) })
	for len(chosen) < size && len(rest) > 0 {
		i := 0
		if r.Shares() {
			i = r.leastUsed(available, chosen, rest)
		} else {
			i = nearest(s, r, chosen, rest, size)
		}
		chosen = append(chosen, rest[i])
		rest = slices.Delete(rest, i, i+1)
	}
	return chosen
}

func (r Resource) position(id string) int {
	return slices.IndexFunc(r.Units, func(u Unit) bool { return u.ID == id })
}

// leastUsed prefers the device with the most free replicas that was not chosen yet.
func (r Resource) leastUsed(available, chosen, rest []string) int {
	free := map[string]int{}
	for _, id := range available {
		free[DeviceID(id)]++
	}
	for _, id := range chosen {
		free[DeviceID(id)] -= r.Replicas // another device first
	}
	best := 0
	for i, id := range rest {
		if free[DeviceID(id)] > free[DeviceID(rest[best])] {
			best = i
		}
	}
	return best
}

// nearest adds the unit with the best connection to those chosen. The first
// one is the one around which the best set of the size can be had.
func nearest(s System, r Resource, chosen, rest []string, size int) int {
	scores := newAffinity(s, r)
	best, bestScore := 0, -1
	for i, id := range rest {
		score := 0
		if len(chosen) > 0 {
			for _, c := range chosen {
				score += scores.between(c, id)
			}
		} else {
			score = scores.around(id, rest, size)
		}
		if score > bestScore {
			best, bestScore = i, score
		}
	}
	return best
}

// affinity knows how well two units are connected.
type affinity struct {
	gpus map[string]GPU
	unit map[string]Unit
}

func newAffinity(s System, r Resource) affinity {
	a := affinity{map[string]GPU{}, map[string]Unit{}}
	for _, u := range r.Units {
		a.unit[u.ID] = u
		if i := slices.IndexFunc(s.GPUs, func(g GPU) bool { return g.Index == u.GPU }); i >= 0 {
			a.gpus[u.ID] = s.GPUs[i]
		}
	}
	return a
}

const (
	samePart  = 10000 // instances of one GPU
	perLink   = 100
	sameNUMA  = 10
	sameBoard = 1 // the same bus below the root
)

func (a affinity) between(x, y string) int {
	gx, okx := a.gpus[x]
	gy, oky := a.gpus[y]
	if !okx || !oky {
		return 0
	}
	if gx.UUID == gy.UUID {
		return samePart
	}
	score := perLink * gx.Links[gy.Index]
	if gx.NUMA >= 0 && gx.NUMA == gy.NUMA {
		score += sameNUMA
	}
	if domain(gx.BusID) == domain(gy.BusID) {
		score += sameBoard
	}
	return score
}

// around adds up the size-1 best connections of id. Among equals the one with
// the fewest other connections wins, which leaves good sets for later pods.
func (a affinity) around(id string, rest []string, size int) int {
	var list []int
	for _, other := range rest {
		if other != id {
			list = append(list, a.between(id, other))
		}
	}
	slices.SortFunc(list, func(x, y int) int { return y - x })
	score, left := 0, 0
	for i, v := range list {
		if i < size-1 {
			score += v
		} else {
			left += v
		}
	}
	const weight = 1 << 20
	return score*weight + max(0, weight-1-left)
}

func domain(bus string) string {
	i := strings.LastIndexByte(bus, ':')
	if i < 0 {
		return bus
	}
	return bus[:i]
}
