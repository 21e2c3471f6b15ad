//go:build linux

package ids

import (
	"errors"
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
	if len(w.Users)+len(w.Groups)+len(w.Others) == 0 {
		return nil
	}
	users, groups, err := Here()
	if err != nil {
		return err
	}
	for _, c := range []struct {
		what   string
		mapped Ranges
		ids    []uint32
	}{
		{"runAsUser", users, w.Users},
		{"runAsGroup", groups, w.Groups},
		{"group (fsGroup or supplementalGroups)", groups, w.Others},
	} {
		for _, id := range c.ids {
			if !c.mapped.Has(int64(id)) {
				return fmt.Errorf("%s %d is not available: %s", c.what, id, why(c.mapped))
			}
		}
	}
	return nil
}

// Ranges are the ids that exist in a user namespace.
type Ranges []Range

// Range is Count ids from First on.
type Range struct{ First, Count int64 }

// Has tells whether an id exists.
func (l Ranges) Has(id int64) bool {
	return slices.ContainsFunc(l, func(r Range) bool { return id >= r.First && id-r.First < r.Count })
}

// One tells whether there is a single id, as where an ordinary user has no subordinate ones.
func (l Ranges) One() bool { return len(l) == 1 && l[0].Count == 1 }

// Here are the users and groups of this process's namespace.
func Here() (users, groups Ranges, err error) {
	users, err1 := read("/proc/self/uid_map")
	groups, err2 := read("/proc/self/gid_map")
	return users, groups, errors.Join(err1, err2)
}

func read(file string) (Ranges, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	list, err := parse(string(data))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return list, nil
}

// parse reads the format of /proc/PID/uid_map (user_namespaces(7)): inside, outside, count.
func parse(data string) (Ranges, error) {
	var list Ranges
	for line := range strings.Lines(data) {
		f := strings.Fields(line)
		const inside, count, columns = 0, 2, 3
		if len(f) != columns {
			return nil, fmt.Errorf("unexpected line %q", line)
		}
		first, err1 := strconv.ParseUint(f[inside], 10, 32)
		many, err2 := strconv.ParseUint(f[count], 10, 32)
		if err := errors.Join(err1, err2); err != nil {
			return nil, fmt.Errorf("unexpected line %q: %w", line, err)
		}
		list = append(list, Range{int64(first), int64(many)})
	}
	return list, nil
}

func why(mapped Ranges) string {
	if len(mapped) > 1 {
		last := mapped[len(mapped)-1]
		return fmt.Sprintf("Kiwerk runs as an ordinary user to whom this host grants the ids up to %d; choose a lower one, enlarge his range in /etc/subuid and /etc/subgid, or run `kiwerk up` as root", last.First+last.Count-1)
	}
	return "Kiwerk runs as an ordinary user to whom this host grants no subordinate ids, so that in pods only user and group 0 exist (they are that user on the host); leave it out, install Debian's package uidmap, grant ids (`sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER`) and start anew, or run `kiwerk up` as root"
}
