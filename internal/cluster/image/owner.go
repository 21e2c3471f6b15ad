//go:build linux

package image

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
)

// idRange is one line of a user namespace's map: ids from first on exist.
type idRange struct{ first, count uint64 }

// hostOwner keeps owners as far as they exist here. In a user namespace these
// are root and what subordinate ids were mapped; to the rest root stands in.
func hostOwner() (Owner, error) {
	if os.Geteuid() != 0 {
		return func(int, int) (int, int, bool, bool) { return 0, 0, false, true }, nil
	}
	uids, err := readRanges("/proc/self/uid_map")
	if err != nil {
		return nil, err
	}
	gids, err := readRanges("/proc/self/gid_map")
	if err != nil {
		return nil, err
	}
	return ownerIn(uids, gids), nil
}

func ownerIn(uids, gids []idRange) Owner {
	return func(uid, gid int) (u, g int, set, mapped bool) {
		okU, okG := in(uids, uid), in(gids, gid)
		if okU {
			u = uid
		}
		if okG {
			g = gid
		}
		return u, g, true, okU && okG
	}
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

var ownerHere = sync.OnceValues(hostOwner)

// Mapped tells whether user and group exist where this process runs.
func Mapped(uid, gid uint32) bool {
	owner, err := ownerHere()
	if err != nil {
		return uid == 0 && gid == 0
	}
	_, _, _, mapped := owner(int(uid), int(gid))
	return mapped
}
