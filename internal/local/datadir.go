//go:build linux

package local

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kiwerk/kiwerk/internal/atomicfile"
	"github.com/kiwerk/kiwerk/internal/cli"
	"github.com/kiwerk/kiwerk/internal/text"
)

// Files of a data directory.
const (
	versionsFile   = "kiwerk.json"
	lockFile       = "lock"
	tokenFile      = "token"
	runFile        = "run.json"
	configFile     = "config.yaml"
	kubeconfigFile = "kubeconfig"
	logsDir        = "logs"
	backupsDir     = "backups"
	// runtimeStateDir has the records of containers.
	runtimeStateDir = "runtime"
)

// minFree is what a start needs: etcd alone reserves 64 MB at once.
const minFree = 512 << 20

// dataDir is a data directory that this process may use.
type dataDir struct {
	path     string
	versions versions
	lock     *os.File
	// fresh says that no platform has run here yet, made are folders that were not there before.
	fresh bool
	made  []string
	// backup is where the databases were copied before an upgrade; empty if there was none.
	backup string
}

// openDataDir checks everything that can be wrong with a directory, takes its
// lock and brings it to this program's format. now dates a backup.
func openDataDir(path string, mine versions, now time.Time, fileSystem func(string) (unix.Statfs_t, error)) (*dataDir, error) {
	d := &dataDir{path: path}
	if err := d.makeOrRecognise(); err != nil {
		return nil, err
	}
	if err := checkFileSystem(path, fileSystem); err != nil {
		return nil, errors.Join(err, d.abandon())
	}
	if err := d.takeLock(); err != nil {
		return nil, err
	}
	if err := d.settleVersions(mine, now); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// Close gives up the lock; a daemon that shares it keeps it.
func (d *dataDir) Close() error { return d.lock.Close() }

// abandon removes what a refused start has put into a directory in which no
// platform has run, and the directory itself if it was not there before.
func (d *dataDir) abandon() error {
	if !d.fresh {
		return nil
	}
	errs := []error{os.RemoveAll(d.file(logsDir))}
	for _, name := range []string{versionsFile, lockFile} {
		if err := os.Remove(d.file(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	for _, dir := range slices.Backward(d.made) {
		// Somebody else may have put something there meanwhile.
		if err := os.Remove(dir); err != nil && !errors.Is(err, unix.ENOTEMPTY) && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// missing lists the folders that making path makes, the outermost first.
func missing(path string) []string {
	var list []string
	for dir := path; ; dir = filepath.Dir(dir) {
		if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
			slices.Reverse(list)
			return list
		}
		list = append(list, dir)
	}
}

func (d *dataDir) file(names ...string) string {
	return filepath.Join(append([]string{d.path}, names...)...)
}

// makeOrRecognise refuses a folder that holds somebody else's files.
func (d *dataDir) makeOrRecognise() error {
	entries, err := os.ReadDir(d.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		d.fresh, d.made = true, missing(d.path)
		if err := os.MkdirAll(d.path, 0o700); err != nil {
			return errors.Join(failure(text.S(text.DataDirUnusable, d.path), try("kiwerk up --data-dir DIR"), err), d.abandon())
		}
		return nil
	case err != nil:
		return failure(text.S(text.DataDirUnusable, d.path), try("kiwerk up --data-dir DIR"), err)
	}
	ours := len(entries) == 0
	for _, e := range entries {
		ours = ours || e.Name() == versionsFile
	}
	if !ours && len(entries) == 1 && (entries[0].Name() == "lost+found" || entries[0].Name() == lockFile || entries[0].Name() == configFile) {
		ours = true // an empty file system; a start that was cut off; prepared by hand
	}
	if !ours {
		return failure(text.S(text.DataDirForeign, d.path), try("kiwerk up --data-dir DIR"), nil)
	}
	st, err := os.Stat(d.path)
	if err != nil {
		return err
	}
	if owner, ok := ownerOf(st); ok && owner != os.Geteuid() {
		return failure(text.S(text.DataDirOtherUser, d.path, strconv.Itoa(owner)), try("kiwerk up --data-dir DIR"), nil)
	}
	if st.Mode().Perm()&0o077 != 0 {
		return os.Chmod(d.path, 0o700)
	}
	return nil
}

// networkFS are file systems on which locks and memory maps are not to be relied on.
var networkFS = map[int64]string{
	unix.NFS_SUPER_MAGIC: "NFS", unix.SMB_SUPER_MAGIC: "SMB", unix.CIFS_SUPER_MAGIC: "CIFS",
	unix.SMB2_SUPER_MAGIC: "SMB", unix.AFS_SUPER_MAGIC: "AFS", unix.V9FS_MAGIC: "9p", unix.CODA_SUPER_MAGIC: "Coda",
}

func statfs(path string) (st unix.Statfs_t, err error) {
	err = unix.Statfs(path, &st)
	return st, err
}

func checkFileSystem(path string, fileSystem func(string) (unix.Statfs_t, error)) error {
	st, err := fileSystem(path)
	if err != nil {
		return failure(text.S(text.DataDirUnusable, path), try("kiwerk up --data-dir DIR"), err)
	}
	if name, bad := networkFS[int64(st.Type)&0xffffffff]; bad { //nolint:unconvert // Type has another type on other architectures.
		return failure(text.S(text.DataDirNetwork, path, name), try("kiwerk up --data-dir DIR"), nil)
	}
	if st.Flags&unix.ST_RDONLY != 0 {
		return failure(text.S(text.DataDirReadOnly, path), try("kiwerk up --data-dir DIR"), nil)
	}
	if free := int64(st.Bavail) * st.Bsize; free < minFree { //nolint:unconvert // Bsize has another type on other architectures.
		return failure(text.S(text.DiskFull, path, free>>20, int64(minFree)>>20), try("df -h "+path), nil)
	}
	return nil
}

// lockWait is how long a daemon whose launcher was killed may take to end.
const lockWait = 20 * time.Second

// takeLock keeps a second start away. The lock belongs to the open file, which
// the daemon shares: after a kill of the launcher it is free when the daemon
// has ended.
func (d *dataDir) takeLock() error {
	f, err := os.OpenFile(d.file(lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return failure(text.S(text.DataDirUnusable, d.path), try("kiwerk up --data-dir DIR"), err)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		pid := readPID(f)
		if pid > 0 && processAlive(pid) {
			err = alreadyRuns(d.path, pid)
		} else {
			err = waitLock(f, d.path)
		}
	}
	if err != nil {
		return errors.Join(err, f.Close())
	}
	if !isAt(f, f.Name()) { // a refused start has removed it before it was ours
		return errors.Join(d.takeLock(), f.Close())
	}
	if err := writePID(f); err != nil {
		return errors.Join(failure(text.S(text.DataDirUnusable, d.path), try("kiwerk up --data-dir DIR"), err), f.Close())
	}
	d.lock = f
	return nil
}

// isAt tells whether an open file is still the one of this name.
func isAt(f *os.File, name string) bool {
	a, errA := f.Stat()
	b, errB := os.Stat(name)
	return errA == nil && errB == nil && os.SameFile(a, b)
}

func alreadyRuns(path string, pid int) error {
	where := ""
	if run, err := readRun(path); err == nil {
		where = run.URL
	}
	return &cli.Failure{What: text.S(text.AlreadyRuns, path, strconv.Itoa(pid), where), Try: try("kiwerk status --data-dir " + path)}
}

func waitLock(f *os.File, path string) error {
	got := make(chan error, 1)
	go func() { got <- unix.Flock(int(f.Fd()), unix.LOCK_EX) }()
	timer := time.NewTimer(lockWait)
	defer timer.Stop()
	select {
	case err := <-got:
		return err
	case <-timer.C:
		return failure(text.S(text.DaemonStillEnds, path), try("kiwerk down --data-dir "+path), nil)
	}
}

func readPID(f *os.File) int {
	b := make([]byte, 32)
	n, _ := f.ReadAt(b, 0)
	pid, _ := strconv.Atoi(strings.TrimSpace(string(b[:n])))
	return pid
}

func writePID(f *os.File) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return err
}

func processAlive(pid int) bool {
	err := unix.Kill(pid, 0)
	return err == nil || errors.Is(err, unix.EPERM)
}

// token reads the secret of the directory or makes one.
func (d *dataDir) token() (string, error) {
	b, err := os.ReadFile(d.file(tokenFile))
	if err == nil && len(strings.TrimSpace(string(b))) >= 32 {
		if err := os.Chmod(d.file(tokenFile), 0o600); err != nil {
			return "", err
		}
		return strings.TrimSpace(string(b)), nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	raw := make([]byte, 32)
	_, _ = rand.Read(raw) // never fails
	token := hex.EncodeToString(raw)
	return token, atomicfile.Write(d.file(tokenFile), []byte(token+"\n"), 0o600)
}

func writeJSON(path string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return atomicfile.Write(path, append(b, '\n'), 0o600)
}

func readRun(dir string) (runState, error) {
	var r runState
	return r, readJSON(filepath.Join(dir, runFile), &r)
}

func readJSON(path string, v any) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}
