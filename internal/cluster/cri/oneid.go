//go:build linux

package cri

import (
	"bytes"
	"os"
)

// keepOwnOwner lets GNU tar, with which `kubectl cp` unpacks, leave files to
// the container's user. It would give them to those who own them on the other
// side, as root does, and fail where they do not exist.
const keepOwnOwner = "--no-same-owner"

// knowsOneID tells whether the user namespace knows a single user, as that of an ordinary user does.
func knowsOneID() (bool, error) {
	data, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		return false, err
	}
	return mapsOneID(data), nil
}

// mapsOneID reads the format of uid_map (user_namespaces(7)): inside, outside, count.
func mapsOneID(data []byte) bool {
	f := bytes.Fields(data)
	const columns, count = 3, 2
	return len(f) == columns && string(f[count]) == "1"
}
