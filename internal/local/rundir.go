//go:build linux

package local

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/kiwerk/kiwerk/internal/text"
)

// runtimeDir is a short 0700 folder for sockets: a unix path has at most 107
// bytes, and a data directory may lie deep. It follows from the real path of
// the data directory, so every start finds the same one.
func runtimeDir(dataDir string, getenv func(string) string) (string, error) {
	real, err := filepath.EvalSymlinks(dataDir)
	if err != nil {
		return "", err
	}
	return runtimeDirOf(real, getenv), nil
}

func runtimeDirOf(real string, getenv func(string) string) string {
	sum := sha256.Sum256([]byte(real))
	base := fmt.Sprintf("/tmp/kiwerk-%d", os.Getuid())
	if xdg := getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(xdg) && len(xdg) <= maxRuntimeBase {
		if st, err := os.Stat(xdg); err == nil && private(st) {
			base = filepath.Join(xdg, "kiwerk")
		}
	}
	return filepath.Join(base, hex.EncodeToString(sum[:5]))
}

// maxRuntimeBase leaves room for our folders and the name of a socket.
const maxRuntimeBase = 48

// runtimeDirTries is how often another cluster may remove the outer folder under
// us: it does so when its own was the last one in it.
const runtimeDirTries = 1000

// makeRuntimeDir makes the folder and refuses one that somebody else has put there.
func makeRuntimeDir(dir string) error {
	err := tryRuntimeDir(dir)
	for try := 1; errors.Is(err, fs.ErrNotExist) && try < runtimeDirTries; try++ {
		err = tryRuntimeDir(dir)
	}
	return err
}

func tryRuntimeDir(dir string) error {
	for _, d := range []string{filepath.Dir(dir), dir} {
		if err := os.Mkdir(d, 0o700); err != nil && !os.IsExist(err) {
			return failure(text.S(text.RuntimeDirUnusable, d), text.Sentence{}, err)
		}
		st, err := os.Lstat(d)
		if err != nil {
			return failure(text.S(text.RuntimeDirUnusable, d), text.Sentence{}, err)
		}
		if !private(st) {
			return failure(text.S(text.RuntimeDirForeign, d), try("ls -ld "+d), nil)
		}
	}
	return nil
}

// private tells whether only we can look into a real folder.
func private(st os.FileInfo) bool {
	owner, ok := ownerOf(st)
	return st.IsDir() && st.Mode().Perm()&0o077 == 0 && ok && owner == os.Getuid()
}

func ownerOf(st os.FileInfo) (uid int, ok bool) {
	sys, ok := st.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return int(sys.Uid), true
}
