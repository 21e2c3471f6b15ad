//go:build linux

package shim

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// writeJSON replaces a file of the container's directory in one step. It does not
// wait for the disk, as each start would: who reads has to bear a file that a power cut emptied.
func writeJSON(dir, name string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode %s: %w", name, err)
	}
	tmp := filepath.Join(dir, "."+name)
	if err := os.WriteFile(tmp, data, 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, filepath.Join(dir, name))
}

// exitSpace is what an exit file takes on the disk from the start on.
const exitSpace = 4096

// maxExitMessage leaves room for the rest, and for what JSON makes of odd bytes.
const maxExitMessage = 512

// reserveExit takes the place for the exit file while there is some: a disk
// that others have filled by then must not turn success into an unknown end.
func reserveExit(dir string) error {
	return os.WriteFile(filepath.Join(dir, "."+exitFile), bytes.Repeat([]byte{' '}, exitSpace), 0o600)
}

// writeExit fills the reserved file and gives it its name. What is left of the space is blanks, which JSON allows.
func writeExit(dir string, e Exit) error {
	if len(e.Message) > maxExitMessage {
		e.Message = strings.ToValidUTF8(e.Message[:maxExitMessage], "") + "…"
	}
	data, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("encode %s: %w", exitFile, err)
	}
	tmp := filepath.Join(dir, "."+exitFile)
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(data, 0)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(tmp, filepath.Join(dir, exitFile))
}

// errDamaged is a file that is there and cannot be understood: none is ever written by halves.
var errDamaged = errors.New("the file is damaged")

func readJSON(dir, name string, v any) error {
	data, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("%w: %s: %w", errDamaged, filepath.Join(dir, name), err)
	}
	return nil
}

// ProcessStart returns when a process was started, in clock ticks since boot.
// With the pid it names the process for good.
func ProcessStart(pid int) (uint64, error) {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, err
	}
	st, err := ParseStat(data)
	if err != nil {
		return 0, fmt.Errorf("process %d: %w", pid, err)
	}
	return st.Start, nil
}

// Stat is what is needed of /proc/PID/stat.
type Stat struct {
	State     byte
	PPID      int
	CPUTicks  uint64 // of the process and of its children that were waited for
	Start     uint64
	RSSPages  int64
	NumThread int64
}

// ParseStat reads the format of /proc/PID/stat (proc_pid_stat(5)).
func ParseStat(data []byte) (Stat, error) {
	// The name in brackets may hold blanks and brackets itself.
	end := bytes.LastIndexByte(data, ')')
	if end < 0 {
		return Stat{}, errors.New("stat: no process name")
	}
	f := strings.Fields(string(data[end+1:]))
	if len(f) < 22 || len(f[0]) != 1 {
		return Stat{}, fmt.Errorf("stat: %d fields after the name, expected at least 22", len(f))
	}
	st := Stat{State: f[0][0]}
	var errs [5]error
	st.PPID, errs[0] = strconv.Atoi(f[1])
	for _, i := range []int{11, 12, 13, 14} {
		// Times of children may be printed as signed.
		n, err := strconv.ParseInt(f[i], 10, 64)
		errs[1] = errors.Join(errs[1], err)
		st.CPUTicks += uint64(max(n, 0))
	}
	st.NumThread, errs[2] = strconv.ParseInt(f[17], 10, 64)
	st.Start, errs[3] = strconv.ParseUint(f[19], 10, 64)
	st.RSSPages, errs[4] = strconv.ParseInt(f[21], 10, 64)
	if err := errors.Join(errs[:]...); err != nil {
		return Stat{}, fmt.Errorf("stat: %w", err)
	}
	return st, nil
}

// BootID names the current boot of the machine.
func BootID() (string, error) {
	data, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(data)), err
}

// alive tells whether a shim holds the lock of this directory.
func alive(dir string) (bool, error) {
	f, err := os.Open(filepath.Join(dir, lockFile))
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return true, nil
	}
	return false, err
}
