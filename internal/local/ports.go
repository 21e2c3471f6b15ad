//go:build linux

package local

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/kiwerk/kiwerk/internal/text"
)

// listenPlatform opens the platform's port. With port 0 the one from the last
// start is taken again if it is free, because running pods know it.
func listenPlatform(address string, remembered int) (*net.TCPListener, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if port == "0" && remembered > 0 {
		if l, err := listenTCP(net.JoinHostPort(host, strconv.Itoa(remembered))); err == nil {
			return l, nil
		}
	}
	l, err := listenTCP(address)
	if errors.Is(err, unix.EADDRINUSE) {
		n, _ := strconv.Atoi(port)
		who := portHolder(n)
		if who == "" {
			return nil, failure(text.S(text.PortTaken, address), text.S(text.PortTry), nil)
		}
		return nil, failure(text.S(text.PortTakenBy, address, who), text.S(text.PortTry), nil)
	}
	if err != nil {
		return nil, failure(text.S(text.PortRefused, address), text.S(text.PortTry), err)
	}
	return l, nil
}

// listenAPI opens the API server's port: the one from the last start if possible.
func listenAPI(remembered int) (*net.TCPListener, error) {
	if remembered > 0 {
		if l, err := listenTCP("127.0.0.1:" + strconv.Itoa(remembered)); err == nil {
			return l, nil
		}
	}
	l, err := listenTCP("127.0.0.1:0")
	if err != nil {
		return nil, failure(text.S(text.PortRefused, "127.0.0.1:0"), text.Sentence{}, err)
	}
	return l, nil
}

func listenTCP(address string) (*net.TCPListener, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	return l.(*net.TCPListener), nil //nolint:forcetypeassert // The network is tcp.
}

func portOf(l net.Listener) int { return l.Addr().(*net.TCPAddr).Port } //nolint:forcetypeassert // Made by listenTCP.

// portHolder names the process that listens on a port, as far as we may see.
func portHolder(port int) string {
	for _, s := range listeningSockets("/proc/net") {
		if s.port != port {
			continue
		}
		if pid, name := socketOwner(s.inode); pid > 0 {
			return fmt.Sprintf("%s (PID %d)", name, pid)
		}
		return fmt.Sprintf("a process of user %d", s.uid)
	}
	return ""
}

// listening is one line of /proc/net/tcp in state LISTEN.
type listening struct {
	address  string
	port     int
	inode    uint64
	uid      int
	loopback bool
}

const stateListen = "0A"

func listeningSockets(dir string) []listening {
	var all []listening
	for _, name := range []string{"tcp", "tcp6"} {
		f, err := os.Open(filepath.Join(dir, name))
		if err != nil {
			continue // no IPv6
		}
		for s := bufio.NewScanner(f); s.Scan(); {
			if l, ok := parseListening(s.Text()); ok {
				all = append(all, l)
			}
		}
		_ = f.Close() // only read
	}
	return all
}

func parseListening(line string) (listening, bool) {
	f := strings.Fields(line)
	if len(f) < 10 || f[3] != stateListen {
		return listening{}, false
	}
	addr, port, ok := strings.Cut(f[1], ":")
	if !ok {
		return listening{}, false
	}
	n, err := strconv.ParseUint(port, 16, 16)
	ip := kernelIP(addr)
	if err != nil || ip == nil {
		return listening{}, false
	}
	uid, err := strconv.Atoi(f[7])
	if err != nil {
		return listening{}, false
	}
	inode, err := strconv.ParseUint(f[9], 10, 64)
	if err != nil {
		return listening{}, false
	}
	return listening{
		address: net.JoinHostPort(ip.String(), strconv.FormatUint(n, 10)),
		port:    int(n), inode: inode, uid: uid, loopback: ip.IsLoopback(),
	}, true
}

// kernelIP reads an address as /proc/net has it: 32-bit words in the byte order of the machine.
func kernelIP(s string) net.IP {
	if len(s) != 8 && len(s) != 32 {
		return nil
	}
	ip := make(net.IP, 0, 16)
	for i := 0; i < len(s); i += 8 {
		w, err := strconv.ParseUint(s[i:i+8], 16, 32)
		if err != nil {
			return nil
		}
		ip = append(ip, byte(w), byte(w>>8), byte(w>>16), byte(w>>24))
	}
	return ip
}

// socketOwner finds the process that has a socket open.
func socketOwner(inode uint64) (pid int, name string) {
	want := fmt.Sprintf("socket:[%d]", inode)
	procs, err := os.ReadDir("/proc")
	if err != nil {
		return 0, ""
	}
	for _, p := range procs {
		n, err := strconv.Atoi(p.Name())
		if err != nil {
			continue
		}
		fds, err := os.ReadDir(filepath.Join("/proc", p.Name(), "fd"))
		if err != nil {
			continue // another user's, or gone
		}
		for _, fd := range fds {
			if target, err := os.Readlink(filepath.Join("/proc", p.Name(), "fd", fd.Name())); err == nil && target == want {
				return n, processName(n)
			}
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
