//go:build linux

package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// ticks of the kernel's clock per second; 100 on every Linux.
const ticks = 100

func cpus() int { return runtime.NumCPU() }

// cpuSeconds is the CPU time of the platform's own processes so far. Those
// that have ended are left out: at idle there are none.
func (p *platform) cpuSeconds() float64 {
	children := map[int][]int{}
	spent := map[int]float64{}
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			continue // it has ended
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(f)))
		// The name stands in parentheses and may hold anything.
		fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
		const parent, user, system = 1, 11, 12
		if len(fields) <= system {
			continue
		}
		ppid, _ := strconv.Atoi(fields[parent])
		utime, _ := strconv.ParseFloat(fields[user], 64)
		stime, _ := strconv.ParseFloat(fields[system], 64)
		children[ppid] = append(children[ppid], pid)
		spent[pid] = (utime + stime) / ticks
	}
	var sum float64
	for todo := []int{p.cmd.Process.Pid}; len(todo) > 0; {
		pid := todo[0]
		todo = append(todo[1:], children[pid]...)
		if exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid)); err == nil && slices.Contains(own, filepath.Base(exe)) {
			sum += spent[pid]
		}
	}
	return sum
}
