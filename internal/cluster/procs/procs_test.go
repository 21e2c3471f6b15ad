//go:build linux

package procs

import (
	"os/exec"
	"slices"
	"strconv"
	"testing"
)

func TestChildren(t *testing.T) {
	cmd := exec.Command("cat")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := cmd.Process.Pid
	if got := Children("self"); !slices.Contains(got, pid) {
		t.Errorf("own children %v without %d", got, pid)
	}
	if got := Children(strconv.Itoa(pid)); len(got) > 0 {
		t.Errorf("cat has children %v", got)
	}
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if got := Children(strconv.Itoa(pid)); got != nil {
		t.Errorf("a process that has ended has children %v", got)
	}
}
