//go:build linux

package procnet

import (
	"bufio"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Socket is a TCP socket that listens.
type Socket struct {
	Address netip.AddrPort
	Inode   uint64
	UID     int
}

// Listening lists the TCP sockets of a network namespace; dir is its
// /proc/net, or /proc/PID/net of a process in it.
func Listening(dir string) []Socket {
	var all []Socket
	for _, name := range []string{"tcp", "tcp6"} {
		f, err := os.Open(filepath.Join(dir, name))
		if err != nil {
			continue // no IPv6
		}
		for s := bufio.NewScanner(f); s.Scan(); {
			if l, ok := Parse(s.Text()); ok {
				all = append(all, l)
			}
		}
		_ = f.Close() // only read
	}
	return all
}

const stateListen = "0A"

// Parse reads one line of /proc/net/tcp or tcp6; ok is false unless it listens.
func Parse(line string) (s Socket, ok bool) {
	f := strings.Fields(line)
	if len(f) < 10 || f[3] != stateListen {
		return Socket{}, false
	}
	host, port, ok := strings.Cut(f[1], ":")
	if !ok {
		return Socket{}, false
	}
	n, err := strconv.ParseUint(port, 16, 16)
	ip, valid := kernelIP(host)
	if err != nil || !valid {
		return Socket{}, false
	}
	s.Address = netip.AddrPortFrom(ip, uint16(n))
	if s.UID, err = strconv.Atoi(f[7]); err != nil {
		return Socket{}, false
	}
	if s.Inode, err = strconv.ParseUint(f[9], 10, 64); err != nil {
		return Socket{}, false
	}
	return s, true
}

// kernelIP reads an address as /proc/net has it: 32-bit words in the byte order of the machine.
func kernelIP(s string) (netip.Addr, bool) {
	if len(s) != 8 && len(s) != 32 {
		return netip.Addr{}, false
	}
	var ip []byte
	for i := 0; i < len(s); i += 8 {
		w, err := strconv.ParseUint(s[i:i+8], 16, 32)
		if err != nil {
			return netip.Addr{}, false
		}
		ip = append(ip, byte(w), byte(w>>8), byte(w>>16), byte(w>>24))
	}
	a, ok := netip.AddrFromSlice(ip)
	return a.Unmap(), ok
}

// Sockets adds the inodes of all sockets that a process has open to set.
func Sockets(pid int, set map[uint64]bool) {
	dir := filepath.Join("/proc", strconv.Itoa(pid), "fd")
	fds, err := os.ReadDir(dir)
	if err != nil {
		return // another user's, or gone
	}
	for _, fd := range fds {
		target, err := os.Readlink(filepath.Join(dir, fd.Name()))
		if err != nil {
			continue
		}
		if rest, ok := strings.CutPrefix(target, "socket:["); ok {
			if n, err := strconv.ParseUint(strings.TrimSuffix(rest, "]"), 10, 64); err == nil {
				set[n] = true
			}
		}
	}
}

// Owner finds a process that has a socket open; 0 if none can be seen.
func Owner(inode uint64) (pid int, name string) {
	procs, err := os.ReadDir("/proc")
	if err != nil {
		return 0, ""
	}
	for _, p := range procs {
		n, err := strconv.Atoi(p.Name())
		if err != nil {
			continue
		}
		open := map[uint64]bool{}
		if Sockets(n, open); open[inode] {
			return n, processName(n)
		}
	}
	return 0, ""
}

func processName(pid int) string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil {
		return "?"
	}
	return strings.TrimSpace(string(b))
}
