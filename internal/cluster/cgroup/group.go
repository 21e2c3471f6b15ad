//go:build linux

package cgroup

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kiwerk/kiwerk/internal/atomicfile"
)

// Group is one group: its directory by controller.
type Group map[string]string

// dirs returns the directories, each once: controllers may be mounted together.
func (g Group) dirs() []string {
	return slices.Compact(slices.Sorted(maps.Values(g)))
}

func (g Group) unified() bool { return g[unified] != "" }

// file returns the path of a controller's file, "" if there is no such controller.
func (g Group) file(controller, name string) string {
	dir := g[unified]
	if dir == "" {
		dir = g[controller]
	}
	if dir == "" {
		return ""
	}
	return filepath.Join(dir, name)
}

// Make makes the group at a path below the tree, whose parents exist, and sets its limits.
func (t *Tree) Make(l Limits, at ...string) (Group, error) {
	g := t.Group(at...)
	for _, dir := range g.dirs() {
		if err := mkdir(dir); err != nil {
			return nil, fmt.Errorf("make cgroup: %w", err)
		}
	}
	return g, g.Set(l)
}

// MakeParent is Make for a group that holds groups, not processes.
func (t *Tree) MakeParent(l Limits, at ...string) (Group, error) {
	g, err := t.Make(l, at...)
	if err != nil || !g.unified() {
		return g, err
	}
	return g, enable(g[unified], t.controllers)
}

// Group names the group at a path below the tree, which may not exist.
func (t *Tree) Group(at ...string) Group {
	g := Group{}
	for controller, dir := range t.root {
		g[controller] = filepath.Join(append([]string{dir}, at...)...)
	}
	return g
}

// Bounds says what this tree bounds, for people.
func (t *Tree) Bounds() string {
	if t.root.unified() {
		return strings.Join(t.controllers, ", ")
	}
	var names []string
	for _, c := range []string{cpu, memory, pids} {
		if t.root[c] != "" {
			names = append(names, c)
		}
	}
	return strings.Join(names, ", ")
}

// Set applies limits. In version 2 a controller that was not delegated has no
// files: [Tree.Bounds] tells which are there.
func (g Group) Set(l Limits) error {
	if g.unified() {
		if _, err := os.Stat(g[unified]); err != nil {
			return fmt.Errorf("set limits: %w", err)
		}
	}
	var errs []error
	list := settings(l, g.unified())
	for i, s := range list {
		file := g.file(s.controller, s.file)
		if file == "" {
			continue
		}
		err := g.fits(s.file, l.Memory)
		if err == nil {
			err = write(file, s.value)
		}
		if errors.Is(err, unix.EINVAL) && s.file == "memory.limit_in_bytes" {
			// Never above that of memory and swap, which is raised first then.
			err = errors.Join(write(g.file(memory, list[i+1].file), s.value), write(file, s.value))
		}
		if err != nil && (!s.optional && !g.unified() || !errors.Is(err, os.ErrNotExist)) {
			errs = append(errs, explain(s, err))
		}
	}
	return errors.Join(errs...)
}

// fits refuses a memory limit below what is in use, as the kernel does in
// version 1. In version 2 it would kill until the rest fits.
func (g Group) fits(file string, limit int64) error {
	if file != "memory.max" || limit <= 0 {
		return nil
	}
	used, err := g.Stats()
	if err == nil && used.WorkingSet > uint64(limit) {
		return unix.EBUSY
	}
	return err
}

func explain(s setting, err error) error {
	if errors.Is(err, unix.EBUSY) && s.controller == memory {
		return fmt.Errorf("memory limit %s: more than that is in use: %w", s.value, err)
	}
	return fmt.Errorf("set %s to %s: %w", s.file, s.value, err)
}

// Shown says what a process in the group finds below /sys/fs/cgroup: directory by name, "" for all of it.
func (g Group) Shown() map[string]string {
	if g.unified() {
		return map[string]string{"": g[unified]}
	}
	return g
}

// Entry is a way into a group that stays open when the file system is left.
type Entry struct {
	files []*os.File
	moved chan error // version 2 only
}

// Enter begins to move the caller into the group; [Entry.Finish] ends it.
//
// To move a whole process the kernel waits until every CPU has been seen idle
// or at work for another: 10 to 25 ms were measured. A thread moves at once, and
// what it forks goes with it, but only in version 1. There Finish moves the
// calling thread; in version 2 the process is on its way in the meantime.
func (g Group) Enter() (*Entry, error) {
	e := &Entry{}
	name := "tasks"
	if g.unified() {
		name = "cgroup.procs"
	}
	for _, dir := range g.dirs() {
		f, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY, 0)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("enter cgroup: %w", err), e.close())
		}
		e.files = append(e.files, f)
	}
	if g.unified() {
		e.moved = make(chan error, 1)
		go func() { e.moved <- e.move() }()
	}
	return e, nil
}

// Finish returns when the caller is in the group. Its thread must be locked to the goroutine.
func (e *Entry) Finish() error {
	var err error
	if e.moved != nil {
		err = <-e.moved
	} else {
		err = e.move()
	}
	return errors.Join(err, e.close())
}

func (e *Entry) move() error {
	for _, f := range e.files {
		if _, err := f.WriteString("0"); err != nil {
			return fmt.Errorf("enter cgroup: %w", err)
		}
	}
	return nil
}

func (e *Entry) close() error {
	var err error
	for _, f := range e.files {
		err = errors.Join(err, f.Close())
	}
	return err
}

// OOMKills is how many processes of the group were killed because its memory ran out.
func (g Group) OOMKills() (uint64, error) {
	file := g.file(memory, "memory.oom_control")
	if g.unified() {
		file = g.file(memory, "memory.events")
	}
	if file == "" {
		return 0, nil
	}
	values, err := table(file)
	return values["oom_kill"], err
}

// removePatience bounds the wait for killed processes to be gone.
const (
	removePatience = 10 * time.Second
	removeTick     = 5 * time.Millisecond
)

// Remove removes the group with all groups below it. What still runs in them
// is killed; a group that is gone already is no error.
func (g Group) Remove() error {
	tick := time.NewTicker(removeTick)
	defer tick.Stop()
	late := time.NewTimer(removePatience)
	defer late.Stop()
	for {
		var errs []error
		for _, dir := range g.dirs() {
			errs = append(errs, removeTree(dir))
		}
		err := errors.Join(errs...)
		if err == nil || !errors.Is(err, unix.EBUSY) {
			return err
		}
		for _, dir := range g.dirs() {
			kill(dir)
		}
		select {
		case <-tick.C:
		case <-late.C:
			return err
		}
	}
}

func removeTree(dir string) error {
	err := unix.Rmdir(dir)
	if err == nil || errors.Is(err, unix.ENOENT) {
		return nil
	}
	entries, readErr := os.ReadDir(dir)
	if readErr != nil {
		return errors.Join(err, readErr)
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := removeTree(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	if err := unix.Rmdir(dir); err != nil && !errors.Is(err, unix.ENOENT) {
		return &os.PathError{Op: "remove cgroup", Path: dir, Err: err}
	}
	return nil
}

// kill ends all processes at and below dir, as far as it finds any: removing the group tells whether some are left.
func kill(dir string) {
	if write(filepath.Join(dir, "cgroup.kill"), "1") == nil {
		return
	}
	_ = filepath.WalkDir(dir, func(at string, e os.DirEntry, err error) error {
		if err != nil || !e.IsDir() {
			return nil //nolint:nilerr // Groups vanish while they are walked.
		}
		list, err := words(filepath.Join(at, "cgroup.procs"))
		if err != nil {
			return nil //nolint:nilerr // As above.
		}
		for _, word := range list {
			if pid, err := strconv.Atoi(word); err == nil && pid > 1 {
				_ = unix.Kill(pid, unix.SIGKILL)
			}
		}
		return nil
	})
}

// Kill ends all processes of the group.
func (g Group) Kill() {
	for _, dir := range g.dirs() {
		kill(dir)
	}
}

// Children lists the names of the groups at a path below the tree.
func (t *Tree) Children(at ...string) []string {
	names := map[string]bool{}
	for _, dir := range t.Group(at...).dirs() {
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue
		}
		for _, e := range entries {
			if e.IsDir() {
				names[e.Name()] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// Remove removes the group at a path below the tree, with no path the tree itself.
func (t *Tree) Remove(at ...string) error { return t.Group(at...).Remove() }

// Save writes down where the tree is.
func (t *Tree) Save(file string) error {
	data, err := json.Marshal(t.root)
	if err != nil {
		return err
	}
	return atomicfile.Write(file, data, 0o600)
}

// Saved returns the top of a tree that was saved: after a crash another
// process may find another place for its own. No file is an empty group.
func Saved(file string) (Group, error) {
	data, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var g Group
	if err := json.Unmarshal(data, &g); err != nil {
		return nil, fmt.Errorf("decode %s: %w", file, err)
	}
	return g, nil
}

// Is tells whether the tree's top is g.
func (t *Tree) Is(g Group) bool { return maps.Equal(t.root, g) }
