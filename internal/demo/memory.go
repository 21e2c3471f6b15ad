package demo

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// TreeMemory is the sum of Pss, in bytes, of the platform's own processes: of
// root and its descendants those that run one of the platform's programs.
// Containers are not counted: they live in pid namespaces of their own.
func TreeMemory(root int, programs []string) (int64, error) {
	tree, err := tree(root, programs)
	if err != nil {
		return 0, err
	}
	var sum int64
	for _, p := range tree {
		if p.Contained {
			continue
		}
		if err := p.measure(); err != nil {
			return 0, err
		}
		sum += p.Pss
	}
	if sum == 0 {
		return 0, fmt.Errorf("no process of the platform was found below process %d", root)
	}
	return sum, nil
}

// Process is one that runs a program of the platform.
type Process struct {
	PID int
	// Args is its command line.
	Args []string
	// Contained says that it lives in the pid namespace of a container.
	Contained bool
	// Pss is in bytes.
	Pss int64
}

// Tree are root and those of its descendants that run one of programs, in containers too, with their memory.
func Tree(root int, programs []string) ([]*Process, error) {
	all, err := tree(root, programs)
	for _, p := range all {
		err = errors.Join(err, p.measure())
	}
	return all, err
}

func tree(root int, programs []string) ([]*Process, error) {
	children, err := processChildren()
	if err != nil {
		return nil, err
	}
	namespace, err := os.Readlink(procFile(root, "ns/pid"))
	if err != nil {
		return nil, fmt.Errorf("process %d: %w", root, err)
	}
	var found []*Process
	for todo := []int{root}; len(todo) > 0; {
		pid := todo[0]
		todo = append(todo[1:], children[pid]...)
		own, err := os.Readlink(procFile(pid, "ns/pid"))
		if err != nil {
			continue
		}
		exe, err := os.Readlink(procFile(pid, "exe"))
		if err != nil || !slices.Contains(programs, filepath.Base(exe)) {
			continue
		}
		p := &Process{PID: pid, Contained: own != namespace}
		if line, err := os.ReadFile(procFile(pid, "cmdline")); err == nil {
			p.Args = strings.Split(strings.TrimSuffix(string(line), "\x00"), "\x00")
		}
		found = append(found, p)
	}
	return found, nil
}

// measure leaves a process that has ended at nothing.
func (p *Process) measure() (err error) {
	p.Pss, err = pss(p.PID)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func procFile(pid int, name string) string { return fmt.Sprintf("/proc/%d/%s", pid, name) }

// processChildren maps each process to those it started.
func processChildren() (map[int][]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	children := map[int][]int{}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		stat, err := os.ReadFile(procFile(pid, "stat"))
		if err != nil {
			continue // it ended meanwhile
		}
		// The name stands in parentheses and may contain anything; the parent is the second field after it.
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		if len(fields) < 2 {
			continue
		}
		parent, err := strconv.Atoi(fields[1])
		if err != nil {
			continue
		}
		children[parent] = append(children[parent], pid)
	}
	return children, nil
}

// pss reads how much memory a process uses, shared pages divided among those
// who share them.
func pss(pid int) (int64, error) {
	b, err := os.ReadFile(procFile(pid, "smaps_rollup"))
	if err != nil {
		return 0, fmt.Errorf("memory of process %d: %w", pid, err)
	}
	lines := bufio.NewScanner(bytes.NewReader(b))
	for lines.Scan() {
		rest, found := strings.CutPrefix(lines.Text(), "Pss:")
		if !found {
			continue
		}
		kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("memory of process %d: %w", pid, err)
		}
		return kb * 1024, nil
	}
	return 0, fmt.Errorf("memory of process %d: no Pss in smaps_rollup", pid)
}

// peak samples the platform's memory once a second and keeps the highest.
type peak struct {
	highest atomic.Int64
	failed  atomic.Pointer[error]
	done    chan struct{}
}

// watchMemory samples until ctx ends; stop with the cancel of ctx, then result.
func watchMemory(ctx context.Context, read func() (int64, error)) *peak {
	p := &peak{done: make(chan struct{})}
	go func() {
		defer close(p.done)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			if n, err := read(); err != nil {
				p.failed.Store(&err)
			} else if n > p.highest.Load() {
				p.highest.Store(n)
			}
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	}()
	return p
}

// result is the highest sample in MB, once the sampling has ended.
func (p *peak) result() (float64, error) {
	<-p.done
	if n := p.highest.Load(); n > 0 {
		return float64(n) / 1e6, nil
	}
	if err := p.failed.Load(); err != nil {
		return 0, *err
	}
	return 0, errors.New("no sample of the platform's memory was taken")
}
