//go:build linux

package local

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/kiwerk/kiwerk/internal/text"
)

// programs are the files that a platform needs beside its own.
type programs struct {
	kiwerk string
	binDir string
	agent  string
	python string // may be empty: pods then have no Python
}

// findPrograms looks beside the running program or in KIWERK_BIN_DIR.
func findPrograms(getenv func(string) string, python string) (programs, error) {
	self, err := os.Executable()
	if err != nil {
		return programs{}, fmt.Errorf("where this program lies: %w", err)
	}
	if self, err = filepath.EvalSymlinks(self); err != nil {
		return programs{}, fmt.Errorf("where this program lies: %w", err)
	}
	p := programs{kiwerk: self, binDir: getenv("KIWERK_BIN_DIR")}
	if p.binDir == "" {
		p.binDir = filepath.Dir(self)
	}
	if p.binDir, err = filepath.Abs(p.binDir); err != nil {
		return programs{}, err
	}
	p.agent = filepath.Join(p.binDir, "kiwerk-agent")
	if _, err := os.Stat(p.agent); err != nil {
		return programs{}, failure(text.S(text.AgentMissing, p.agent), try("make build"), nil)
	}
	p.python, err = findPython(python, p.binDir, os.Stat, exec.LookPath)
	return p, err
}

// findPython takes what is configured, else the environment beside the
// project, else what PATH has. It may be a folder of an environment.
func findPython(configured, binDir string, stat func(string) (fs.FileInfo, error), look func(string) (string, error)) (string, error) {
	if configured != "" {
		for _, candidate := range []string{filepath.Join(configured, "bin", "python3"), filepath.Join(configured, "bin", "python"), configured} {
			if st, err := stat(candidate); err == nil && !st.IsDir() {
				return candidate, nil
			}
		}
		return "", failure(text.S(text.PythonMissing, configured), text.S(text.PythonTry), nil)
	}
	for _, candidate := range []string{filepath.Join(binDir, "..", ".venv", "bin", "python3"), filepath.Join(binDir, "..", ".venv", "bin", "python")} {
		if st, err := stat(candidate); err == nil && !st.IsDir() {
			return filepath.Clean(candidate), nil
		}
	}
	found, err := look("python3")
	if errors.Is(err, exec.ErrNotFound) {
		return "", nil
	}
	return found, err
}
