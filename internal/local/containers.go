//go:build linux

package local

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// containerRecord is what status needs of the records of the process runtime.
type containerRecord struct {
	ID      string
	SandBox string `json:"SandboxID"`
	Name    string
	Image   string
	Taken   struct{ What string }
	Labels  map[string]string
	Spec    struct{ Process struct{ Env []string } }
	// shim is 0 if none is recorded or it has ended.
	shim int
}

func (c containerRecord) namespace() string { return c.Labels["io.kubernetes.pod.namespace"] }
func (c containerRecord) pod() string       { return c.Labels["io.kubernetes.pod.name"] }
func (c containerRecord) key() string       { return c.namespace() + "/" + c.pod() }

// readContainers reads the records without the daemon, which may be gone.
// Damaged ones are left out: status shows what can be known.
func readContainers(dataDir string) []containerRecord {
	var dirs []string
	for _, state := range runtimeStates(dataDir) {
		found, err := filepath.Glob(filepath.Join(state, "containers", "*"))
		if err != nil {
			return nil
		}
		dirs = append(dirs, found...)
	}
	var list []containerRecord
	for _, dir := range dirs {
		var c containerRecord
		if readJSON(filepath.Join(dir, "container.json"), &c) != nil {
			continue
		}
		var s struct {
			PID   int
			Start uint64
		}
		if readJSON(filepath.Join(dir, "shim.json"), &s) == nil && startOf(s.PID) == s.Start && s.Start != 0 {
			c.shim = s.PID
		}
		list = append(list, c)
	}
	return list
}

// running counts the containers whose shim lives.
func running(list []containerRecord) int {
	n := 0
	for _, c := range list {
		if c.shim > 0 {
			n++
		}
	}
	return n
}

// startOf is field 22 of /proc/PID/stat, with which a pid is unique; 0 if no such process lives.
func startOf(pid int) uint64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	return parseStart(string(b))
}

// parseStart skips the name, which may hold blanks and parentheses.
func parseStart(stat string) uint64 {
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	const state, field = 0, 22 - 3 // fields begin with the third one
	if len(fields) <= field || fields[state] == "Z" {
		return 0
	}
	n, _ := strconv.ParseUint(fields[field], 10, 64)
	return n
}

// parentOf is the parent of a process, 0 if it cannot be read.
func parentOf(pid int) int {
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if v, ok := strings.CutPrefix(s.Text(), "PPid:"); ok {
			n, _ := strconv.Atoi(strings.TrimSpace(v))
			return n
		}
	}
	return 0
}

// containerOf walks up from a process to the shim that owns it.
func containerOf(pid int, byShim map[int]containerRecord, parent func(int) int) (containerRecord, bool) {
	for range maxDepth {
		if c, ok := byShim[pid]; ok {
			return c, true
		}
		if pid = parent(pid); pid <= 1 {
			break
		}
	}
	return containerRecord{}, false
}

// maxDepth ends a walk over a process table that changes meanwhile.
const maxDepth = 64
