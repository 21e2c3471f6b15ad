package store

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// unansweredMillis is how long a server may leave sent bytes unacknowledged: without it a
// machine that vanished holds its connections for a quarter of an hour.
const unansweredMillis = 20_000

func giveUpUnanswered(network, _ string, c syscall.RawConn) (err error) {
	if network == "unix" {
		return nil
	}
	if e := c.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, unansweredMillis)
	}); e != nil {
		return e
	}
	return err
}
