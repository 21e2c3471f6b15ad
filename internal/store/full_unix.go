//go:build linux || darwin

package store

import "golang.org/x/sys/unix"

// full tells whether the file system of dir has less room than one page of the log needs.
func full(dir string) bool {
	var st unix.Statfs_t
	return unix.Statfs(dir, &st) == nil && st.Bavail*uint64(st.Bsize) < 64<<10
}
