//go:build linux

package image

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
)

// idRange is one line of a user namespace's map: ids from first on exist.
type idRange struct{ first, count uint64 }

// idMaps are the users and groups that exist in a user namespace.
type idMaps struct{ uids, gids []idRange }

// here are those of this process.
var here = sync.OnceValues(func() (idMaps, error) {
	uids, err1 := readRanges("/proc/self/uid_map")
	gids, err2 := readRanges("/proc/self/gid_map")
	return idMaps{uids, gids}, errors.Join(err1, err2)
})

// hostOwner keeps owners as far as they exist here. In a user namespace these
// are root and what subordinate ids were mapped; to the rest root stands in.
func hostOwner() (Owner, error) {
	if os.Geteuid() != 0 {
		return func(int, int) (int, int, bool, bool) { return 0, 0, false, true }, nil
	}
	maps, err := here()
	return maps.owner, err
}

func (m idMaps) owner(uid, gid int) (u, g int, set, mapped bool) {
	okU, okG := in(m.uids, uid), in(m.gids, gid)
	if okU {
		u = uid
	}
	if okG {
		g = gid
	}
	return u, g, true, okU && okG
}

// Mapped tells whether user and group exist where this process runs.
func Mapped(uid, gid uint32) bool {
	maps, err := here()
	if err != nil {
		return uid == 0 && gid == 0
	}
	return in(maps.uids, int(uid)) && in(maps.gids, int(gid))
}

func in(ranges []idRange, id int) bool {
	for _, r := range ranges {
		if id >= 0 && uint64(id) >= r.first && uint64(id)-r.first < r.count {
			return true
		}
	}
	return false
}

func readRanges(path string) ([]idRange, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var list []idRange
	for line := range strings.Lines(string(data)) {
		f := strings.Fields(line)
		const inside, length, fields = 0, 2, 3
		if len(f) != fields {
			return nil, fmt.Errorf("%s: unexpected line %q", path, line)
		}
		first, err1 := strconv.ParseUint(f[inside], 10, 64)
		count, err2 := strconv.ParseUint(f[length], 10, 64)
		if err1 != nil || err2 != nil {
			return nil, fmt.Errorf("%s: unexpected line %q", path, line)
		}
		list = append(list, idRange{first, count})
	}
	return list, nil
}
