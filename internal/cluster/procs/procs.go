//go:build linux

package procs

import (
	"os"
	"strconv"
	"strings"
)

// Children are the processes that a process ("self" or its number) has started
// or inherited, ended or not. One that has ended itself has none.
func Children(process string) []int {
	dir := "/proc/" + process + "/task/"
	threads, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	var pids []int
	for _, t := range threads {
		data, err := os.ReadFile(dir + t.Name() + "/children")
		if err != nil {
			continue // the thread has ended
		}
		for _, field := range strings.Fields(string(data)) {
			if pid, err := strconv.Atoi(field); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}
