//go:build linux

package local

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/kiwerk/kiwerk/internal/cluster/procnet"
	"github.com/kiwerk/kiwerk/internal/config"
	"github.com/kiwerk/kiwerk/internal/text"
)

// chooseListen prefers the port that the last start was told to the usual one:
// running pods and open browsers know it. What was told now counts more, and a
// configuration that names another address.
func chooseListen(configured string, told bool, last ports) string {
	host, usual, err := net.SplitHostPort(config.DefaultListen)
	switch {
	case err != nil || told || configured != config.DefaultListen || last.Platform == 0 || strconv.Itoa(last.Platform) == usual:
		return configured
	case last.PlatformFree:
		return net.JoinHostPort(host, "0")
	}
	return net.JoinHostPort(host, strconv.Itoa(last.Platform))
}

// listenPlatform opens the platform's port. With port 0 the one from the last
// start is taken again if it is free, because running pods know it.
func listenPlatform(address string, remembered int) (*net.TCPListener, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	l, err := listenAt(host, port, remembered)
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
	l, err := listenAt("127.0.0.1", "0", remembered)
	if err != nil {
		return nil, failure(text.S(text.PortRefused, "127.0.0.1:0"), text.Sentence{}, err)
	}
	return l, nil
}

// Ports where nobody has asked for one: below those that the kernel gives to
// outgoing connections and that pods get, so that nobody else takes ours
// between a crash and the next start. Running pods know it.
const (
	firstAny, lastAny = 16000, 19999
	anyTries          = 50
)

// listenAt opens a port. Port 0 is the one from the last start if it is free.
func listenAt(host, port string, remembered int) (*net.TCPListener, error) {
	if port == "0" {
		n := remembered
		for range anyTries {
			if n > 0 {
				if l, err := listenTCP(net.JoinHostPort(host, strconv.Itoa(n))); err == nil {
					return l, nil
				}
			}
			n = firstAny + rand.IntN(lastAny-firstAny+1)
		}
	}
	return listenTCP(net.JoinHostPort(host, port))
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
	for _, s := range procnet.Listening("/proc/net") {
		if int(s.Address.Port()) != port {
			continue
		}
		if pid, name := procnet.Owner(s.Inode); pid > 0 {
			return fmt.Sprintf("%s (PID %d)", name, pid)
		}
		return fmt.Sprintf("a process of user %d", s.UID)
	}
	return ""
}
