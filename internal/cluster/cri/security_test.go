//go:build linux

package cri_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/kiwerk/kiwerk/internal/cluster/rootfs"
)

// secured is a container with a security context.
func secured(script string, sc *runtimeapi.LinuxContainerSecurityContext) *runtimeapi.ContainerConfig {
	cfg := shell(script)
	cfg.Linux = &runtimeapi.LinuxContainerConfig{SecurityContext: sc}
	return cfg
}

func TestServer_rights(t *testing.T) {
	n := newNode(t)
	sb, sc := n.sandbox("rights")
	profile := filepath.Join(t.TempDir(), "p.json")
	if err := os.WriteFile(profile, []byte(`{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO","errnoRet":28}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	own, err := exec.Command("grep", "^NoNewPrivs:", "/proc/self/status").Output() // whoever runs the tests may have given them up
	if err != nil {
		t.Fatal(err)
	}
	const script = `grep -E '^(NoNewPrivs|Seccomp):' /proc/self/status; LC_ALL=C mkdir /tmp/x 2>&1; unshare -U true 2>/dev/null || echo no`
	for name, c := range map[string]struct {
		sc   *runtimeapi.LinuxContainerSecurityContext
		want string
	}{
		"Nothing":        {&runtimeapi.LinuxContainerSecurityContext{Seccomp: &runtimeapi.SecurityProfile{ProfileType: runtimeapi.SecurityProfile_Unconfined}}, string(own) + "Seccomp:\t0\n"},
		"RuntimeDefault": {&runtimeapi.LinuxContainerSecurityContext{NoNewPrivs: true, Seccomp: &runtimeapi.SecurityProfile{ProfileType: runtimeapi.SecurityProfile_RuntimeDefault}}, "NoNewPrivs:\t1\nSeccomp:\t2\nno\n"},
		"Localhost": {
			&runtimeapi.LinuxContainerSecurityContext{Seccomp: &runtimeapi.SecurityProfile{ProfileType: runtimeapi.SecurityProfile_Localhost, LocalhostRef: profile}},
			string(own) + "Seccomp:\t2\nmkdir: cannot create directory '/tmp/x': No space left on device\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := secured(script, c.sc)
			cfg.Metadata.Name, cfg.LogPath = strings.ToLower(name), name+"/0.log"
			out := n.log(n.awaitExit(n.run(sb, sc, cfg)))
			if !strings.HasPrefix(out, c.want) {
				t.Errorf("output %q, want %q", out, c.want)
			}
		})
	}
	_, err = n.rt.CreateContainer(t.Context(), &runtimeapi.CreateContainerRequest{PodSandboxId: sb, SandboxConfig: sc, Config: secured("true",
		&runtimeapi.LinuxContainerSecurityContext{Seccomp: &runtimeapi.SecurityProfile{ProfileType: runtimeapi.SecurityProfile_Localhost, LocalhostRef: profile + "x"}})})
	if err == nil || !strings.Contains(err.Error(), "seccomp profile "+profile+"x") {
		t.Errorf("profile that is not there: %v", err)
	}
}

// TestServer_privileged has every right that can be granted, and none that reaches the platform's data.
func TestServer_privileged(t *testing.T) {
	n := newNode(t)
	sb, sc := n.sandbox("privileged")
	cfg := secured(`grep -E '^(Seccomp|CapBnd):' /proc/self/status; umount /proc 2>/dev/null || echo no; mknod /tmp/disk b 8 0 2>/dev/null || echo no`,
		&runtimeapi.LinuxContainerSecurityContext{
			Privileged: true, SelinuxOptions: &runtimeapi.SELinuxOption{Type: "spc_t"},
			Seccomp: &runtimeapi.SecurityProfile{ProfileType: runtimeapi.SecurityProfile_RuntimeDefault},
		})
	var has uint64
	out := n.log(n.awaitExit(n.run(sb, sc, cfg)))
	if _, err := fmt.Sscanf(out, "CapBnd:\t%x\nSeccomp:\t0\nno\nno\n", &has); err != nil {
		t.Fatalf("output %q: %v", out, err)
	}
	if has&(1<<unix.CAP_NET_ADMIN) == 0 || has&(1<<unix.CAP_SYS_ADMIN|1<<unix.CAP_MKNOD|1<<unix.CAP_SYS_MODULE|1<<unix.CAP_DAC_READ_SEARCH|1<<unix.CAP_PERFMON) != 0 {
		t.Errorf("rights %x", has)
	}
}

// TestServer_neighbours has the data directory of a second platform, which became known after the runtime had started.
func TestServer_neighbours(t *testing.T) {
	if rootfs.InUserNamespace() {
		t.Skip("modes keep an ordinary user's pods out of what is not his")
	}
	n := newNode(t)
	var known []string
	n.stop()
	n.cfg.Neighbours = func() []string { return known }
	n.start()
	other, err := os.MkdirTemp("/opt", "kiwerk-other-") // not below the test's own folder, which is masked anyway
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(other) })
	if err := os.WriteFile(filepath.Join(other, "token"), []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	sb, sc := n.sandbox("peer")
	look := func(name string) string {
		cfg := shell("cat " + other + "/token 2>/dev/null; echo done")
		cfg.Metadata.Name, cfg.LogPath = name, name+"/0.log"
		return n.log(n.awaitExit(n.run(sb, sc, cfg)))
	}
	if out := look("before"); out != "secret\ndone\n" {
		t.Fatalf("the test proves nothing: %q", out)
	}
	known = []string{other}
	if out := look("after"); out != "done\n" {
		t.Errorf("the pod of one platform reads the data of another: %q", out)
	}
	cfg := shell("cat /v/token")
	cfg.Metadata.Name, cfg.LogPath = "volume", "volume/0.log"
	cfg.Mounts = []*runtimeapi.Mount{{HostPath: other, ContainerPath: "/v"}}
	c, err := n.rt.CreateContainer(t.Context(), &runtimeapi.CreateContainerRequest{PodSandboxId: sb, Config: cfg, SandboxConfig: sc})
	if err == nil {
		_, err = n.rt.StartContainer(t.Context(), &runtimeapi.StartContainerRequest{ContainerId: c.GetContainerId()})
	}
	if err == nil || !strings.Contains(err.Error(), "belongs to the platform") {
		t.Errorf("hostPath volume of another platform's data: %v", err)
	}
}
