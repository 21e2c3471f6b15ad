//go:build linux

package local

import (
	"context"

	"golang.org/x/sys/unix"

	"github.com/kiwerk/kiwerk/internal/cli"
	"github.com/kiwerk/kiwerk/internal/text"
)

// minOpenFiles is what etcd, the API server and a hundred pods need together.
const minOpenFiles = 4096

func checkOpenFiles(context.Context, cli.Session, func(string) string) cli.Finding {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
		return finding("files", cli.LevelNote, text.S(text.Verbatim, err.Error()))
	}
	level := cli.LevelOK
	if l.Max < minOpenFiles { // Go raises the soft limit to the hard one by itself
		level = cli.LevelNote
	}
	return finding("files", level, text.S(text.DoctorFiles, int64(min(l.Max, 1<<40)))) //nolint:gosec // Bounded.
}
