package blob

import (
	"os"

	"golang.org/x/sys/unix"
)

// startFlush lets the kernel begin to write a part of a file, so that the
// sync at the end has little left to wait for. It is only a hint.
func startFlush(file *os.File, offset, n int64) {
	if conn, err := file.SyscallConn(); err == nil {
		_ = conn.Control(func(fd uintptr) {
			_ = unix.SyncFileRange(int(fd), offset, n, unix.SYNC_FILE_RANGE_WRITE)
		})
	}
}
