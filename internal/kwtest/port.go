package kwtest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
)

// Ports of [FreePort]: below those that the kernel, the node and the platform
// give to others.
const (
	firstPort = 10000
	lastPort  = 15999
)

// given are the ports that this process has got.
var given sync.Map

// FreePort is a port of 127.0.0.1 on which nothing listens, neither by TCP nor
// by UDP. Another program that asks the kernel for any port does not get it
// before the test uses it, nor does the next call.
func FreePort(tb testing.TB) int {
	tb.Helper()
	for range lastPort - firstPort {
		port := firstPort + rand.IntN(lastPort-firstPort+1)
		if _, had := given.LoadOrStore(port, true); !had && isFree(fmt.Sprintf("127.0.0.1:%d", port)) {
			return port
		}
	}
	tb.Fatalf("no port from %d to %d is free", firstPort, lastPort)
	return 0
}

func isFree(address string) bool {
	stream, err := net.Listen("tcp4", address)
	if err != nil {
		return false
	}
	defer stream.Close()
	packets, err := net.ListenPacket("udp4", address)
	return err == nil && packets.Close() == nil
}
