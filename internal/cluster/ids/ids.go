//go:build linux

package ids

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
)

// Wanted are the ids that a pod or a container names.
type Wanted struct {
	// Users of runAsUser, Groups of runAsGroup, Others of fsGroup and supplementalGroups.
	Users, Groups, Others []uint32
}

// Check returns an error that names the first id that does not exist here.
func Check(w Wanted) error {
	for _, c := range []struct {
		file, what string
		ids        []uint32
	}{
		{"/proc/self/uid_map", "runAsUser", w.Users},
		{"/proc/self/gid_map", "runAsGroup", w.Groups},
		{"/proc/self/gid_map", "group (fsGroup or supplementalGroups)", w.Others},
	} {
		if len(c.ids) == 0 {
			continue
		}
		data, err := os.ReadFile(c.file)
		if err != nil {
			return err
		}
		mapped, err := parse(string(data))
		if err != nil {
			return fmt.Errorf("%s: %w", c.file, err)
		}
		for _, id := range c.ids {
			if !slices.ContainsFunc(mapped, func(r idRange) bool { return r.has(id) }) {
				return fmt.Errorf("%s %d is not available: %s", c.what, id, why(mapped))
			}
		}
	}
	return nil
}

// idRange are ids that exist in this user namespace.
type idRange struct{ first, count uint64 }

func (r idRange) has(id uint32) bool { return uint64(id) >= r.first && uint64(id)-r.first < r.count }

// parse reads the format of /proc/PID/uid_map (user_namespaces(7)).
func parse(data string) ([]idRange, error) {
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

func why(mapped []idRange) string {
	if len(mapped) > 1 {
		last := mapped[len(mapped)-1]
		return fmt.Sprintf("Kiwerk runs as an ordinary user to whom this host grants the ids up to %d; choose a lower one, enlarge his range in /etc/subuid and /etc/subgid, or run `kiwerk up` as root", last.first+last.count-1)
	}
	return "Kiwerk runs as an ordinary user to whom this host grants no subordinate ids, so that in pods only user and group 0 exist (they are that user on the host); leave it out, install Debian's package uidmap, grant ids (`sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER`) and start anew, or run `kiwerk up` as root"
}
