//go:build !linux

package front

import (
	"fmt"
	"net/netip"
	"runtime"
)

// OwnPeer is offered on Linux only.
func OwnPeer() (own func(local, remote netip.AddrPort) (bool, error), stop func() error, err error) {
	return nil, nil, fmt.Errorf("whose a connection is cannot be told on %s: use a login (--app-name basic-auth), or --insecure on a machine that you use alone", runtime.GOOS)
}
