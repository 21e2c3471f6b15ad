//go:build linux

package local

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/kiwerk/kiwerk/internal/buildinfo"
	"github.com/kiwerk/kiwerk/internal/text"
)

// dataFormat counts changes of what lies in a data directory that an older
// program could not read. Schemas of the database have numbers of their own.
const dataFormat = 1

// versions says which program wrote a data directory last, and the ports that
// running pods have in their environment.
type versions struct {
	Format     int    `json:"format"`
	Version    string `json:"version"`
	Kubernetes string `json:"kubernetes"`
	Ports      ports  `json:"ports"`
}

type ports struct {
	Platform int `json:"platform,omitempty"`
	// PlatformFree says that any free port was asked for: another is as good.
	PlatformFree bool `json:"platformFree,omitempty"`
	API          int  `json:"api,omitempty"`
}

func currentVersions() versions {
	return versions{Format: dataFormat, Version: buildinfo.Version(), Kubernetes: buildinfo.Get().Kubernetes}
}

// settleVersions compares the directory with this program.
func (d *dataDir) settleVersions(mine versions, now time.Time) error {
	var have versions
	err := readJSON(d.file(versionsFile), &have)
	if errors.Is(err, fs.ErrNotExist) {
		d.fresh = true
		d.versions = mine
		return d.saveVersions()
	}
	if err != nil {
		return versionsDamaged(d.path, err)
	}
	switch order := compareVersions(have, mine); {
	case order > 0:
		return failure(text.S(text.DataDirNewer, d.path, have.Version, have.Kubernetes, mine.Version, mine.Kubernetes), text.S(text.RestoreBackup, d.file(backupsDir)), nil)
	case order < 0:
		if d.backup, err = d.backUp(have, now); err != nil {
			return failure(text.S(text.BackupFailed, d.path), try("df -h "+d.path), err)
		}
	}
	mine.Ports = have.Ports
	d.versions = mine
	return d.saveVersions()
}

// versionsDamaged tells how to go on: what the file says is not needed but to refuse an older program.
func versionsDamaged(dir string, err error) error {
	file := filepath.Join(dir, versionsFile)
	return failure(text.S(text.VersionsUnreadable, file), text.S(text.VersionsTry, text.Quote(file)), err)
}

func (d *dataDir) saveVersions() error { return writeJSON(d.file(versionsFile), d.versions) }

// compareVersions orders by format, then by Kubernetes: its store cannot go back a minor version.
func compareVersions(a, b versions) int {
	if a.Format != b.Format {
		return a.Format - b.Format
	}
	x, y := numbers(a.Kubernetes), numbers(b.Kubernetes)
	for i := range x {
		if x[i] != y[i] {
			return x[i] - y[i]
		}
	}
	return 0
}

// numbers of v1.37.2; what is missing is 0.
func numbers(version string) (n [3]int) {
	core, _, _ := strings.Cut(strings.TrimPrefix(version, "v"), "-")
	for i, part := range strings.SplitN(core, ".", 3) {
		n[i], _ = strconv.Atoi(part)
	}
	return n
}

// backUp copies the databases while nobody uses them: the lock is held.
func (d *dataDir) backUp(have versions, now time.Time) (string, error) {
	name := now.UTC().Format("20060102-150405") + "-" + strings.Map(fileRune, have.Version)
	target := d.file(backupsDir, name)
	partial := target + ".partial"
	if err := os.RemoveAll(partial); err != nil {
		return "", err
	}
	if err := os.MkdirAll(partial, 0o700); err != nil {
		return "", err
	}
	for _, part := range []string{"platform.db", "platform.db-wal", "platform.db-shm", versionsFile, "etcd", "pki"} {
		if err := copyTree(d.file(part), filepath.Join(partial, part)); err != nil {
			return "", fmt.Errorf("copy %s: %w", part, err)
		}
	}
	return target, os.Rename(partial, target)
}

func fileRune(r rune) rune {
	if r == '.' || r == '-' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' {
		return r
	}
	return '_'
}

// copyTree copies a file or folder; what does not exist is left out.
func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && path == from {
			return nil
		}
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		switch {
		case e.IsDir():
			return os.MkdirAll(target, 0o700)
		case e.Type().IsRegular():
			return copyFile(path, target)
		}
		return nil
	})
}

func copyFile(from, to string) (err error) {
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if _, err = io.Copy(out, in); err == nil {
		err = out.Sync()
	}
	return errors.Join(err, out.Close())
}
