package image

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// Account is who runs in a container.
type Account struct {
	UID, GID uint32
	// Groups are those beside GID that the image gives the user.
	Groups []uint32
	Home   string
}

// maxAccountLine bounds one line of passwd or group; a longer one is skipped.
const maxAccountLine = 64 << 10

// LookUp finds out who "user", "uid", "user:group" or "uid:gid" is, by the
// contents of an image's passwd and group. An empty spec is root. Numbers
// need no entry; names do.
func LookUp(spec string, passwd, group []byte) (Account, error) {
	who, ofGroup, hasGroup := strings.Cut(spec, ":")
	if who == "" {
		who = "0"
	}
	a := Account{Home: "/"}
	name, found := "", false
	uid, isNumber := parseID(who)
	eachLine(passwd, func(f []string) bool {
		const user, id, gid, home, fields = 0, 2, 3, 5, 7
		if len(f) < fields {
			return true
		}
		u, ok1 := parseID(f[id])
		g, ok2 := parseID(f[gid])
		if !ok1 || !ok2 || f[user] != who && (!isNumber || u != uid) {
			return true
		}
		found, name, a.UID, a.GID = true, f[user], u, g
		if strings.HasPrefix(f[home], "/") {
			a.Home = f[home]
		}
		return false
	})
	switch {
	case !found && isNumber:
		a.UID = uid
	case !found:
		return Account{}, fmt.Errorf("user %.100q is not in the image's /etc/passwd", who)
	}
	if hasGroup {
		var err error
		a.GID, err = groupID(ofGroup, group)
		return a, err
	}
	if found {
		a.Groups = memberships(name, a.GID, group)
	}
	return a, nil
}

// LookUp finds out who runs by the image's own accounts.
func (i *Image) LookUp(spec string) (Account, error) { return LookUp(spec, i.passwd, i.group) }

func groupID(want string, group []byte) (gid uint32, err error) {
	gid, isNumber := parseID(want)
	found := isNumber
	eachLine(group, func(f []string) bool {
		const name, id, fields = 0, 2, 3
		if len(f) < fields || f[name] != want {
			return true
		}
		if g, ok := parseID(f[id]); ok {
			gid, found = g, true
			return false
		}
		return true
	})
	if !found {
		return 0, fmt.Errorf("group %.100q is not in the image's /etc/group", want)
	}
	return gid, nil
}

// maxGroups is the kernel's limit (NGROUPS_MAX).
const maxGroups = 65536

func memberships(user string, primary uint32, group []byte) []uint32 {
	var list []uint32
	seen := map[uint32]bool{primary: true}
	eachLine(group, func(f []string) bool {
		const id, members, fields = 2, 3, 4
		if len(f) < fields {
			return true
		}
		gid, ok := parseID(f[id])
		if !ok || seen[gid] {
			return true
		}
		for m := range strings.SplitSeq(f[members], ",") {
			if m == user {
				seen[gid] = true
				list = append(list, gid)
				break
			}
		}
		return len(list) < maxGroups
	})
	return list
}

// parseID reads a user or group id; -1 in 32 bits means "unchanged" to the kernel and is none.
func parseID(s string) (uint32, bool) {
	n, err := strconv.ParseUint(s, 10, 32)
	return uint32(n), err == nil && n != 1<<32-1
}

// eachLine gives the fields of each line until use says stop.
func eachLine(data []byte, use func(fields []string) bool) {
	for line := range bytes.Lines(data) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' || len(line) > maxAccountLine {
			continue
		}
		if !use(strings.Split(string(line), ":")) {
			return
		}
	}
}
