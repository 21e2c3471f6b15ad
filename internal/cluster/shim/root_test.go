//go:build linux

package shim_test

import (
	"os"
	"strings"
	"testing"

	"github.com/kiwerk/kiwerk/internal/cluster/rootfs"
)

func needRoot(t *testing.T) {
	t.Helper()
	if rootfs.InUserNamespace() {
		t.Skip("needs root of the host: other users do not exist in a user namespace")
	}
}

func TestStart_otherUser(t *testing.T) {
	needRoot(t)
	b := newBox(t, `id -u; id -g; id -G; touch $HOME/x && echo home; echo out > /dev/stdout; touch /etc/z 2>/dev/null || echo not root; grep CapEff /proc/self/status; cat /v/f 2>/dev/null || echo no`)
	v := b.volume(t, "v", rootfs.Volume{Dest: "/v"})
	if err := os.WriteFile(v+"/f", []byte("group\n"), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(v+"/f", 0, 4000); err != nil {
		t.Fatal(err)
	}
	b.spec.Process.UID, b.spec.Process.GID, b.spec.Process.Groups = 1234, 2345, []uint32{4000}
	_, out := b.run(t)
	want := "1234\n2345\n2345 4000\nhome\nout\nnot root\nCapEff:\t0000000000000000\ngroup\n"
	if out != want {
		t.Errorf("output %q, expected %q", out, want)
	}
}

func TestStart_hostIsSafe(t *testing.T) {
	needRoot(t)
	b := newBox(t, `
for f in /proc/sys/kernel/core_pattern /proc/sysrq-trigger /proc/irq/default_smp_affinity; do
  (echo x > $f) 2>/dev/null && echo wrote $f
done
head -c1 /proc/kcore 2>/dev/null; head -c1 /proc/keys 2>/dev/null
mkdir /sys/fs/cgroup/memory/x 2>/dev/null && echo cgroup
echo done`)
	if _, out := b.run(t); out != "done\n" {
		t.Errorf("output %q", out)
	}
}

func TestStart_readOnlyRoot(t *testing.T) {
	b := newBox(t, `for d in / /usr /etc /tmp /run /var/tmp /root $HOME; do touch $d/x 2>/dev/null && echo wrote $d; done; echo ok > /v/f && cat /v/f; echo > /dev/null && echo dev`)
	b.volume(t, "v", rootfs.Volume{Dest: "/v"})
	b.spec.Root.ReadOnly = true
	if _, out := b.run(t); out != "ok\ndev\n" {
		t.Errorf("output %q", out)
	}
}

func TestStart_files(t *testing.T) {
	b := newBox(t, `cat /etc/resolv.conf /etc/hostname; test -L /etc/resolv.conf && echo link`)
	b.spec.Root.Files = map[string]string{"/etc/resolv.conf": "nameserver 192.0.2.1\n", "/etc/hostname": "box\n"}
	if _, out := b.run(t); out != "nameserver 192.0.2.1\nbox\n" {
		t.Errorf("output %q", out)
	}
	if data, err := os.ReadFile("/etc/hostname"); err == nil && strings.HasPrefix(string(data), "box\n") {
		t.Error("the host's file was changed")
	}
}
