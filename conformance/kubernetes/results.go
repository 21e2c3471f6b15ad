//go:build linux

package main

import (
	"bufio"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/kiwerk/kiwerk/internal/atomicfile"
)

// part is a share of the specs: 1/8 is the first of eight.
type part struct{ index, of int }

// String is the flag's form.
func (p *part) String() string {
	if p.of == 0 {
		return ""
	}
	return fmt.Sprintf("%d/%d", p.index, p.of)
}

// Set reads the flag.
func (p *part) Set(s string) error {
	if s == "" {
		return nil
	}
	index, of, ok := strings.Cut(s, "/")
	i, err := strconv.Atoi(index)
	n, err2 := strconv.Atoi(of)
	if !ok || err != nil || err2 != nil || i < 1 || i > n {
		return fmt.Errorf("%q is not a part such as 1/8", s)
	}
	*p = part{i, n}
	return nil
}

// has tells whether a spec belongs to the part. The name decides, so a new version of Kubernetes moves no other spec.
func (p part) has(name string) bool {
	if p.of == 0 {
		return true
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(name)) // never fails
	return int(h.Sum32()%uint32(p.of)) == p.index-1
}

// readLeftOut reads lines of an expression for names and a reason, separated by
// " # ". What stands before the expression limits a line: "root: " and "user: "
// to an account, "user-v1: " to one on a host with cgroups of version 1.
func readLeftOut(path, account string) (map[*regexp.Regexp]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	list := map[*regexp.Regexp]string{}
	line := 0
	s := bufio.NewScanner(f)
	for s.Scan() {
		line++
		text := strings.TrimSpace(s.Text())
		if text == "" || strings.HasPrefix(text, "#") {
			continue
		}
		name, reason, ok := strings.Cut(text, " # ")
		if !ok || strings.TrimSpace(reason) == "" {
			return nil, fmt.Errorf("%s:%d: a spec without a reason (want: EXPRESSION # REASON)", path, line)
		}
		if limit := limits.FindStringSubmatch(name); limit != nil {
			if limit[1] != account && limit[1] != account+onV1 {
				continue
			}
			if strings.HasSuffix(limit[1], onV1) && cgroupsV2() {
				continue
			}
			name = strings.TrimPrefix(name, limit[0])
		}
		re, err := regexp.Compile(strings.TrimSpace(name))
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, line, err)
		}
		list[re] = strings.TrimSpace(reason)
	}
	return list, s.Err()
}

// Accounts that the platform runs as.
const (
	asRoot = "root"
	asUser = "user"
)

const onV1 = "-v1"

var limits = regexp.MustCompile(`^((?:` + asRoot + `|` + asUser + `)(?:` + onV1 + `)?): `)

// cgroupsV2 tells whether the host has them alone; only then can a user be given some.
func cgroupsV2() bool {
	_, err := os.Stat("/sys/fs/cgroup/cgroup.controllers")
	return err == nil
}

// Outcomes in a result file.
const (
	passed    = "passed"
	failed    = "failed"
	leftOut   = "left-out"
	notRunYet = "not-run"
)

// result is a line of the file.
type result struct {
	Outcome string
	Seconds float64
	Note    string
}

// resultFile keeps how each spec stands for one kind of account.
type resultFile struct {
	path, account string
	specs         []spec

	mu sync.Mutex
	by map[string]result
}

// openResults reads what is known and adds what is new.
func openResults(path, account string, specs []spec, without map[*regexp.Regexp]string) (*resultFile, error) {
	r := &resultFile{path: path, account: account, specs: specs, by: map[string]result{}}
	known, err := readResults(path)
	if err != nil {
		return nil, err
	}
	for _, s := range specs {
		r.by[s.Name] = result{Outcome: notRunYet}
		if old, ok := known[s.Name]; ok && old.Outcome != leftOut {
			r.by[s.Name] = old
		}
		for re, reason := range without {
			if re.MatchString(s.Name) {
				r.by[s.Name] = result{Outcome: leftOut, Note: reason}
			}
		}
	}
	return r, nil
}

func readResults(path string) (map[string]result, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	known := map[string]result{}
	const columns = 4
	for i, line := range strings.Split(string(b), "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		f := strings.Split(line, "\t")
		if len(f) != columns {
			return nil, fmt.Errorf("%s:%d: %d columns, want outcome, seconds, name and note", path, i+1, len(f))
		}
		seconds, _ := strconv.ParseFloat(strings.TrimSpace(f[1]), 64) // empty where nothing was run
		known[f[2]] = result{strings.TrimSpace(f[0]), seconds, f[3]}
	}
	return known, nil
}

// todo lists the specs of a part that have to be run.
func (r *resultFile) todo(p part, only *regexp.Regexp, again bool) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []string
	for _, s := range r.specs {
		known := r.by[s.Name].Outcome
		if known == leftOut || known == passed && !again || !p.has(s.Name) || !only.MatchString(s.Name) {
			continue
		}
		list = append(list, s.Name)
	}
	return list
}

func (r *resultFile) serial(name string) bool {
	return slices.ContainsFunc(r.specs, func(s spec) bool { return s.Name == name && s.Serial })
}

// add stores outcomes and writes the file as a whole.
func (r *resultFile) add(outcomes map[string]result) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, o := range outcomes {
		if _, ok := r.by[name]; ok {
			r.by[name] = o
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# Kubernetes' conformance suite against `kiwerk up`, as %s. %s\n", r.account, r.line())
	fmt.Fprintln(&b, "# Made by `make conformance-kubernetes`: outcome, seconds, name, note.")
	for _, s := range r.specs {
		o := r.by[s.Name]
		fmt.Fprintf(&b, "%s\t%.1f\t%s\t%s\n", o.Outcome, o.Seconds, s.Name, o.Note)
	}
	if err := os.MkdirAll(filepath.Dir(r.path), 0o755); err != nil {
		return err
	}
	return atomicfile.Write(r.path, []byte(b.String()), 0o644)
}

func (r *resultFile) failed(of []string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(of), func(name string) bool { return r.by[name].Outcome == passed })
}

func (r *resultFile) summary() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.line()
}

// line counts; r.mu is held.
func (r *resultFile) line() string {
	n := map[string]int{}
	for _, s := range r.specs {
		n[r.by[s.Name].Outcome]++
	}
	share := 0.0
	if wanted := len(r.specs) - n[leftOut]; wanted > 0 {
		share = 100 * float64(n[passed]) / float64(wanted)
	}
	return fmt.Sprintf("%d specs: %d passed (%.1f %% of those not left out), %d failed, %d not run yet, %d left out",
		len(r.specs), n[passed], share, n[failed], n[notRunYet], n[leftOut])
}
