//go:build linux

package holder

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// An ordinary user may map one user and one group of his namespace by himself:
// his own. Where the host grants subordinate ids (/etc/subuid, /etc/subgid),
// two programs that have the right map those as well, so that pods can have
// other users, groups and an fsGroup.

// Programs of Debian's package uidmap; other distributions name them alike.
const (
	mapUsers  = "newuidmap"
	mapGroups = "newgidmap"
)

// envWait tells a holder that its ids are mapped by its parent, which says so on fdWait.
const (
	envWait = "KIWERK_HOLD_WAIT"
	fdWait  = 5
)

// idRange are ids of the host that a user may have in his namespace.
type idRange struct{ first, count uint32 }

// lackingIDs says why pods have no other users than root.
type lackingIDs struct{ why string }

// Error returns the reason.
func (l *lackingIDs) Error() string { return l.why }

// grants looks for what the host grants to the user.
func grants() (users, groups idRange, err error) {
	for _, program := range []string{mapUsers, mapGroups} {
		if _, err := exec.LookPath(program); err != nil {
			return users, groups, &lackingIDs{program + " is not installed (Debian package uidmap)"}
		}
	}
	name, uid := "", strconv.Itoa(os.Geteuid())
	if u, err := user.LookupId(uid); err == nil {
		name = u.Username
	}
	if users, err = readRange("/etc/subuid", name, uid); err != nil {
		return users, groups, err
	}
	groups, err = readRange("/etc/subgid", name, uid)
	return users, groups, err
}

// SubordinateIDs is nil if pods can have other users than root, also when an
// ordinary user starts the cluster; otherwise it says what is lacking.
func SubordinateIDs() error {
	if os.Geteuid() == 0 {
		return nil
	}
	_, _, err := grants()
	return err
}

func readRange(file, name, uid string) (idRange, error) {
	f, err := os.Open(file)
	if err != nil {
		return idRange{}, &lackingIDs{err.Error()}
	}
	defer f.Close()
	r := largest(f, name, uid)
	if r.count == 0 {
		return r, &lackingIDs{file + " grants no ids to this user (sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER)"}
	}
	return r, nil
}

// largest reads the format of subuid(5), "user:first:count", and returns the user's largest range.
func largest(r io.Reader, name, uid string) idRange {
	var best idRange
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		f := strings.Split(strings.TrimSpace(lines.Text()), ":")
		if len(f) != 3 || f[0] != uid && (name == "" || f[0] != name) {
			continue
		}
		first, err1 := strconv.ParseUint(f[1], 10, 32)
		count, err2 := strconv.ParseUint(f[2], 10, 32)
		if err1 == nil && err2 == nil && first+count <= 1<<32-1 && uint32(count) > best.count {
			best = idRange{uint32(first), uint32(count)}
		}
	}
	return best
}

// mapIDs maps the user to root of the namespace of pid, and what is granted to the ids from 1 on.
func mapIDs(ctx context.Context, pid int, users, groups idRange) error {
	for _, m := range []struct {
		program string
		own     int
		rest    idRange
	}{{mapUsers, os.Geteuid(), users}, {mapGroups, os.Getegid(), groups}} {
		args := []string{strconv.Itoa(pid), "0", strconv.Itoa(m.own), "1", "1", fmt.Sprint(m.rest.first), fmt.Sprint(m.rest.count)}
		out, err := exec.CommandContext(ctx, m.program, args...).CombinedOutput()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			return &lackingIDs{fmt.Sprintf("%s %s: %v: %s", m.program, strings.Join(args, " "), err, strings.TrimSpace(string(out)))}
		}
	}
	return nil
}

// awaitIDs waits until the parent has mapped the ids of this process, and
// starts it anew: root of a namespace that did not exist yet when it was
// started, it has no rights until then.
func awaitIDs() error {
	if os.Getenv(envWait) == "" {
		return nil
	}
	wait := os.NewFile(fdWait, "wait")
	var mapped [1]byte
	if _, err := wait.Read(mapped[:]); err != nil {
		return fmt.Errorf("wait for user ids: %w", err)
	}
	if err := wait.Close(); err != nil {
		return err
	}
	env := []string{}
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, envWait+"=") {
			env = append(env, e)
		}
	}
	return unix.Exec("/proc/self/exe", os.Args, env)
}

// startMapped starts a holder with subordinate ids. A [lackingIDs] error says that there are none.
func startMapped(ctx context.Context, agent string, args []string, attr *os.ProcAttr) (*os.Process, error) {
	users, groups, err := grants()
	if err != nil {
		return nil, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer w.Close()
	own := *attr
	own.Env = append([]string{envWait + "=1"}, attr.Env...)
	own.Files = append(append([]*os.File{}, attr.Files...), r)
	sys := *attr.Sys
	sys.UidMappings, sys.GidMappings = nil, nil
	own.Sys = &sys
	proc, err := os.StartProcess(agent, args, &own)
	err = errors.Join(err, r.Close())
	if err != nil {
		return nil, err
	}
	if err := mapIDs(ctx, proc.Pid, users, groups); err != nil {
		if killErr := proc.Kill(); killErr != nil {
			return nil, errors.Join(err, killErr)
		}
		_, _ = proc.Wait() // killed
		return nil, err
	}
	if _, err := w.Write([]byte{1}); err != nil {
		return nil, errors.Join(err, proc.Kill())
	}
	return proc, nil
}
