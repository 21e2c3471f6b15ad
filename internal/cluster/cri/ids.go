//go:build linux

package cri

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/kiwerk/kiwerk/internal/cluster/shim"
)

// idRange are ids that exist in this user namespace.
type idRange struct{ first, count uint64 }

func (r idRange) has(id uint32) bool { return uint64(id) >= r.first && uint64(id)-r.first < r.count }

// parseIDMap reads the format of /proc/PID/uid_map (user_namespaces(7)).
func parseIDMap(data string) ([]idRange, error) {
	var list []idRange
	for line := range strings.Lines(data) {
		f := strings.Fields(line)
		if len(f) != 3 {
			return nil, fmt.Errorf("unexpected line %q", line)
		}
		first, err := strconv.ParseUint(f[0], 10, 32)
		if err != nil {
			return nil, err
		}
		count, err := strconv.ParseUint(f[2], 10, 32)
		if err != nil {
			return nil, err
		}
		list = append(list, idRange{first, count})
	}
	return list, nil
}

// checkMapped refuses users and groups that do not exist where an ordinary user runs the cluster.
func checkMapped(p shim.Process) error {
	for _, c := range []struct {
		file, what string
		ids        []uint32
	}{
		{"/proc/self/uid_map", "runAsUser", []uint32{p.UID}},
		{"/proc/self/gid_map", "runAsGroup", []uint32{p.GID}},
		{"/proc/self/gid_map", "group (fsGroup or supplementalGroups)", p.Groups},
	} {
		data, err := os.ReadFile(c.file)
		if err != nil {
			return err
		}
		mapped, err := parseIDMap(string(data))
		if err != nil {
			return fmt.Errorf("%s: %w", c.file, err)
		}
		for _, id := range c.ids {
			if !slices.ContainsFunc(mapped, func(r idRange) bool { return r.has(id) }) {
				return fmt.Errorf("%s %d is not available: %s", c.what, id, whyUnmapped(mapped))
			}
		}
	}
	return nil
}

func whyUnmapped(mapped []idRange) string {
	if len(mapped) > 1 {
		last := mapped[len(mapped)-1]
		return fmt.Sprintf("Kiwerk runs as an ordinary user to whom this host grants the ids up to %d; choose a lower one, enlarge his range in /etc/subuid and /etc/subgid, or run `kiwerk up` as root", last.first+last.count-1)
	}
	return "Kiwerk runs as an ordinary user to whom this host grants no subordinate ids, so that in pods only user and group 0 exist (they are that user on the host); leave it out, install Debian's package uidmap, grant ids (`sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER`) and start anew, or run `kiwerk up` as root"
}
