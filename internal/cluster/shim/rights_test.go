//go:build linux

package shim_test

import (
	osexec "os/exec"
	"testing"

	"github.com/kiwerk/kiwerk/internal/cluster/seccomp"
)

// TestStart_seccomp has the default filter: what it refuses, and that the usual tools do not notice it.
func TestStart_seccomp(t *testing.T) {
	b := newBox(t, `
grep ^Seccomp: /proc/self/status
unshare -U true 2>/dev/null || echo no user namespace
unshare -n true 2>/dev/null || echo no net namespace
nsenter -t 1 -u true 2>/dev/null || echo no other namespace
mount -t tmpfs x /mnt 2>/dev/null || echo no mount
(sleep 0 & wait) && python3 -c 'import threading, subprocess; t = threading.Thread(target=lambda: print("thread")); t.start(); t.join(); print(subprocess.check_output(["echo", "child"]).decode(), end="")'
exit 3`)
	filter, err := seccomp.Default(b.spec.Process.Caps).Compile()
	if err != nil {
		t.Fatal(err)
	}
	b.spec.Process.Seccomp = filter
	e, out := b.run(t)
	want := "Seccomp:\t2\nno user namespace\nno net namespace\nno other namespace\nno mount\nthread\nchild\n"
	if e.Code != 3 || out != want {
		t.Errorf("exit %+v, output %q, want %q", e, out, want)
	}
}

// TestStart_seccompKills is a profile that ends a program at a call.
func TestStart_seccompKills(t *testing.T) {
	b := newBox(t, `echo before; exec mkdir /tmp/x`)
	p, err := seccomp.Parse([]byte(`{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_KILL_PROCESS"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if b.spec.Process.Seccomp, err = p.Compile(); err != nil {
		t.Fatal(err)
	}
	if e, out := b.run(t); e.Code != 128+31 || out != "before\n" {
		t.Errorf("exit %+v, output %q", e, out)
	}
}

func TestStart_newPrivileges(t *testing.T) {
	b := newBox(t, `grep NoNewPrivs /proc/self/status`)
	b.spec.Process.NoNewPrivs = false
	want, err := osexec.Command("grep", "NoNewPrivs", "/proc/self/status").Output() // whoever runs the tests may have given them up
	if err != nil {
		t.Fatal(err)
	}
	if _, out := b.run(t); out != string(want) {
		t.Errorf("output %q, want %q", out, want)
	}
}
