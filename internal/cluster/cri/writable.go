//go:build linux

package cri

import (
	"io/fs"
	"path/filepath"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

const diskBlock = 512 // of st_blocks, whatever the file system has

// written is what a container has written outside of its volumes: on the disk
// and, where its root lies in memory, there. What cannot be read is not counted.
func (c *container) written() (bytes, files uint64) {
	_ = filepath.WalkDir(c.Spec.Root.Scratch, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil //nolint:nilerr // Files come and go while they are counted.
		}
		info, err := d.Info()
		if err != nil {
			return nil //nolint:nilerr // As above.
		}
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			bytes += uint64(st.Blocks) * diskBlock
			files++
		}
		return nil
	})
	running := c.look().running
	if running == nil {
		return bytes, files
	}
	var st unix.Statfs_t
	root := "/proc/" + strconv.Itoa(running.State().InitPID) + "/root"
	if err := unix.Statfs(root, &st); err == nil && st.Type == unix.TMPFS_MAGIC {
		bytes += (st.Blocks - st.Bfree) * uint64(st.Bsize)
		files += st.Files - st.Ffree
	}
	return bytes, files
}
