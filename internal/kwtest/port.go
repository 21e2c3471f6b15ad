package kwtest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"testing"
)

// Ports of [FreePort]: below those that the kernel hands out by itself, and
// below those of services of type NodePort.
const (
	firstPort = 20000
	lastPort  = 29999
)

// FreePort is a TCP port of 127.0.0.1 on which nothing listens. Another program
// that asks the kernel for any port does not get it before the test uses it.
func FreePort(tb testing.TB) int {
	tb.Helper()
	for range lastPort - firstPort {
		port := firstPort + rand.IntN(lastPort-firstPort+1)
		l, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue
		}
		if err := l.Close(); err != nil {
			tb.Fatal(err)
		}
		return port
	}
	tb.Fatalf("no port from %d to %d is free", firstPort, lastPort)
	return 0
}
