//go:build linux

package node_test

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/kiwerk/kiwerk/internal/cluster/node"
	"github.com/kiwerk/kiwerk/internal/kwtest"
)

const envPrintHostIP = "KIWERK_TEST_PRINT_HOST_IP"

// TestMain also plays a process on a host without any network.
func TestMain(m *testing.M) {
	if os.Getenv(envPrintHostIP) != "" {
		fmt.Fprint(os.Stdout, node.HostIP())
		os.Exit(0)
	}
	kwtest.Main(m)
}

// An aeroplane is no reason not to start.
func TestHostIP_withoutNetwork(t *testing.T) {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), envPrintHostIP+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}}
	}
	out, err := cmd.Output()
	if err != nil {
		t.Skipf("this host makes no network namespaces: %v", err)
	}
	if got := string(out); got != "192.0.2.1" {
		t.Errorf("the address of a host without network is %q, want the one that belongs to nobody", got)
	}
}

func TestHostIP_isNoLoopback(t *testing.T) {
	ip := node.HostIP()
	if ip.To4() == nil || ip.IsLoopback() || !ip.IsGlobalUnicast() {
		t.Errorf("%v cannot be the address of a node", ip)
	}
}
