//go:build linux

package local

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/kiwerk/kiwerk/internal/atomicfile"
)

// Root's pods are root: modes of files do not keep them from the data directory
// of a second platform. So each start writes down where its own is, beside the
// runtime directories, and every container finds those known so far empty.

// knownDir is the folder of these notes, one file per data directory.
const knownDir = "known"

// rememberDataDir writes the note. The base of runtime is ours alone, see makeRuntimeDir.
func rememberDataDir(runtime, dataDir string) error {
	dir := filepath.Join(filepath.Dir(runtime), knownDir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	file := filepath.Join(dir, filepath.Base(runtime))
	if err := atomicfile.Write(file, []byte(dataDir), 0o600); err != nil {
		return err
	}
	return dropOldNotes(dir)
}

func forgetDataDir(runtime string) error {
	err := os.Remove(filepath.Join(filepath.Dir(runtime), knownDir, filepath.Base(runtime)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// dropOldNotes removes those of data directories that are gone. One that comes
// back, on a disk that was away, is noted again by its next start.
func dropOldNotes(dir string) error {
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	errs := []error{err}
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			continue // another start removes it, too
		}
		if _, err := os.Stat(string(data)); !filepath.IsAbs(string(data)) || errors.Is(err, fs.ErrNotExist) {
			if err := os.Remove(f); err != nil && !errors.Is(err, fs.ErrNotExist) {
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}

// neighbours are the places of other platforms of the same user: the base of
// all runtime directories, and the data directories that still exist.
func neighbours(runtime string) []string {
	bases := []string{filepath.Dir(runtime)}
	// A start from another session may have chosen the other base.
	for _, other := range []string{fmt.Sprintf("/tmp/kiwerk-%d", os.Getuid()), fmt.Sprintf("/run/user/%d/kiwerk", os.Getuid())} {
		if other != bases[0] {
			bases = append(bases, other)
		}
	}
	places := bases
	for _, base := range bases {
		files, _ := filepath.Glob(filepath.Join(base, knownDir, "*")) // the pattern is well-formed
		for _, f := range files {
			data, err := os.ReadFile(f)
			if err != nil || strings.HasSuffix(f, ".new") {
				continue
			}
			if info, err := os.Stat(string(data)); filepath.IsAbs(string(data)) && err == nil && info.IsDir() {
				places = append(places, string(data))
			}
		}
	}
	return places
}
