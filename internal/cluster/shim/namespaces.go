//go:build linux

package shim

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/kiwerk/kiwerk/internal/cluster/procs"
	"github.com/kiwerk/kiwerk/internal/cluster/thread"
)

// kinds are the namespaces that a container has of its own unless the spec says otherwise.
var kinds = []struct {
	name string
	flag int
}{
	{NamespaceIPC, unix.CLONE_NEWIPC},
	{NamespacePID, unix.CLONE_NEWPID},
}

// sharesProcesses tells whether the container is in the node's pid namespace.
func (s Spec) sharesProcesses() bool {
	file, given := s.Namespaces[NamespacePID]
	return given && file == ""
}

// inNamespaces starts init where it belongs: start gets the flags for what it has of its own.
func (s *shim) inNamespaces(start func(flags uintptr) (*os.Process, error)) (*os.Process, error) {
	flags := uintptr(unix.CLONE_NEWNS | unix.CLONE_NEWUTS)
	join := map[string]int{}
	for _, k := range kinds {
		file, given := s.spec.Namespaces[k.name]
		if !given {
			flags |= uintptr(k.flag)
		} else if file != "" && k.name != NamespacePID { // init stays outside of a joined pid namespace
			join[file] = k.flag
		}
	}
	if s.spec.NetNS != "" {
		join[s.spec.NetNS] = unix.CLONE_NEWNET
	}
	var p *os.Process
	err := thread.Own(func() error {
		err := errors.Join(enterAll(join), boundInit(s.spec.Process))
		if err == nil {
			p, err = start(flags)
		}
		return err
	})
	return p, err
}

// enterAll moves the calling thread.
func enterAll(join map[string]int) error {
	for file, flag := range join {
		fd, err := unix.Open(file, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return &os.PathError{Op: "open namespace", Path: file, Err: err}
		}
		err = errors.Join(unix.Setns(fd, flag), unix.Close(fd))
		if err != nil {
			return fmt.Errorf("join namespace %s: %w", file, err)
		}
	}
	return nil
}

// endOthers kills what descends from init until nothing is left, where the
// kernel does not do so at the end of init.
func (c *container) endOthers() {
	if c.spec.joinsProcesses() {
		endMountNamespace(c.mountNS)
		return
	}
	if !c.spec.sharesProcesses() {
		return
	}
	for c.killDescendants() {
		// Any of them; those killed come to us, as we are their subreaper.
		if _, err := unix.Wait4(-1, nil, 0, nil); errors.Is(err, unix.ECHILD) {
			return
		}
	}
}

// killDescendants tells whether there were any.
func (c *container) killDescendants() bool {
	found := false
	todo := []string{"self"}
	for len(todo) > 0 {
		children := procs.Children(todo[0])
		todo = todo[1:]
		for _, pid := range children {
			found = true
			_ = unix.Kill(pid, unix.SIGKILL) // may have ended
			todo = append(todo, strconv.Itoa(pid))
		}
	}
	return found
}
