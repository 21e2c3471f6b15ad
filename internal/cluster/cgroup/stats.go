//go:build linux

package cgroup

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Stats is what a group uses and has used.
type Stats struct {
	CPUNano uint64
	// Memory is all that is charged, WorkingSet what cannot be dropped without harm, RSS what belongs to no file.
	Memory, WorkingSet, RSS uint64
	PageFaults, MajorFaults uint64
	Pids                    uint64
}

const microsecond = 1000

// Stats measures the group.
func (g Group) Stats() (Stats, error) {
	if g.unified() {
		return g.statsV2()
	}
	return g.statsV1()
}

func (g Group) statsV1() (Stats, error) {
	var s Stats
	var errs [4]error
	s.CPUNano, errs[0] = g.number(cpuacct, "cpuacct.usage")
	s.Memory, errs[1] = g.number(memory, "memory.usage_in_bytes")
	s.Pids, errs[2] = g.number(pids, "pids.current")
	var m map[string]uint64
	if file := g.file(memory, "memory.stat"); file != "" {
		m, errs[3] = table(file)
	}
	s.RSS, s.PageFaults, s.MajorFaults = m["total_rss"], m["total_pgfault"], m["total_pgmajfault"]
	s.WorkingSet = s.Memory - min(s.Memory, m["total_inactive_file"])
	return s, errors.Join(errs[:]...)
}

func (g Group) statsV2() (Stats, error) {
	var s Stats
	var errs [4]error
	var c, m map[string]uint64
	c, errs[0] = table(g.file(cpu, "cpu.stat"))
	s.CPUNano = c["usage_usec"] * microsecond
	s.Memory, errs[1] = g.number(memory, "memory.current")
	s.Pids, errs[2] = g.number(pids, "pids.current")
	m, errs[3] = table(g.file(memory, "memory.stat"))
	for i, err := range errs {
		if errors.Is(err, os.ErrNotExist) {
			errs[i] = nil // that controller is not delegated
		}
	}
	s.RSS, s.PageFaults, s.MajorFaults = m["anon"], m["pgfault"], m["pgmajfault"]
	s.WorkingSet = s.Memory - min(s.Memory, m["inactive_file"])
	return s, errors.Join(errs[:]...)
}

// number reads a file that holds one; 0 without the controller.
func (g Group) number(controller, name string) (uint64, error) {
	file := g.file(controller, name)
	if file == "" {
		return 0, nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(data)), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", file, err)
	}
	return n, nil
}

// table reads a file of lines "name value".
func table(file string) (map[string]uint64, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return parseTable(data), nil
}

// parseTable leaves out lines of another form: the kernel adds some now and then.
func parseTable(data []byte) map[string]uint64 {
	values := map[string]uint64{}
	lines := bufio.NewScanner(bytes.NewReader(data))
	for lines.Scan() {
		name, value, ok := strings.Cut(lines.Text(), " ")
		if n, err := strconv.ParseUint(value, 10, 64); ok && err == nil {
			values[name] = n
		}
	}
	return values
}
