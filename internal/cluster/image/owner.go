//go:build linux

package image

import (
	"os"
	"sync"

	"github.com/kiwerk/kiwerk/internal/cluster/ids"
)

// idMaps are the users and groups that exist in a user namespace.
type idMaps struct{ uids, gids ids.Ranges }

// here are those of this process.
var here = sync.OnceValues(func() (idMaps, error) {
	users, groups, err := ids.Here()
	return idMaps{users, groups}, err
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
	okU, okG := m.uids.Has(int64(uid)), m.gids.Has(int64(gid))
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
	return maps.uids.Has(int64(uid)) && maps.gids.Has(int64(gid))
}
