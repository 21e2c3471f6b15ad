//go:build linux

package cri_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// TestServer_sharedMemory has two containers of one pod, and one of another.
func TestServer_sharedMemory(t *testing.T) {
	n := newNode(t)
	sb, sc := n.sandbox("shm")
	first := shell(`echo kept > /dev/shm/f; ipcmk -M 100 >/dev/null; readlink /proc/self/ns/ipc; echo ready; while :; do sleep 0.02; done`)
	id := n.run(sb, sc, first)
	n.ready(id)
	ns, _, _ := strings.Cut(n.log(n.status(id)), "\n")
	n.stop()
	n.start() // the second container comes to what another daemon made
	const look = `cat /dev/shm/f 2>/dev/null; readlink /proc/self/ns/ipc; ipcs -m | grep -c 0x`
	second := shell(look)
	second.Metadata.Name, second.LogPath = "second", "second/0.log"
	if out := n.log(n.awaitExit(n.run(sb, sc, second))); out != "kept\n"+ns+"\n1\n" {
		t.Errorf("the second container of the pod sees %q, want %s", out, ns)
	}
	other, otherConfig := n.sandbox("other")
	if out := n.log(n.awaitExit(n.run(other, otherConfig, shell(look)))); strings.Contains(out, "kept") || strings.Contains(out, ns) || !strings.HasSuffix(out, "0\n") {
		t.Errorf("another pod sees %q", out)
	}
	if _, err := n.rt.StopPodSandbox(t.Context(), &runtimeapi.StopPodSandboxRequest{PodSandboxId: sb}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(n.cfg.StateDir, "pods", sb)); err == nil {
		t.Error("the shared memory of a stopped pod is left")
	}
}

// TestServer_sharedMemory_leftOver has what daemons leave that end between two mounts.
func TestServer_sharedMemory_leftOver(t *testing.T) {
	n := newNode(t)
	sb, sc := n.sandbox("leftover")
	shm := filepath.Join(n.cfg.StateDir, "pods", sb, "shm")
	if err := os.MkdirAll(shm, 0o700); err != nil {
		t.Fatal(err)
	}
	over := func() {
		t.Helper()
		if err := unix.Mount("kiwerk", shm, "tmpfs", 0, "size=64k"); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = unix.Unmount(shm, unix.MNT_DETACH) })
	}
	over()
	over()
	if out := n.log(n.awaitExit(n.run(sb, sc, shell("echo x > /dev/shm/f; cat /dev/shm/f")))); out != "x\n" {
		t.Errorf("output %q", out)
	}
	over() // and one over that of a pod that ran
	if _, err := n.rt.StopPodSandbox(t.Context(), &runtimeapi.StopPodSandboxRequest{PodSandboxId: sb}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Dir(shm)); err == nil {
		t.Error("the shared memory of a stopped pod is left")
	}
}

func TestServer_hostNamespaces(t *testing.T) {
	n := newNode(t)
	sb, sc := n.sandbox("host")
	own, err := os.Readlink("/proc/self/ns/ipc")
	if err != nil {
		t.Fatal(err)
	}
	left := "sleep " + strconv.Itoa(100_000+os.Getpid()) // of no other run of this test
	cfg := secured(`echo $$ > /tmp/pid; readlink /proc/self/ns/ipc; test -d /proc/`+strconv.Itoa(os.Getpid())+` && echo sees host
ls /proc/1/root/etc >/dev/null 2>&1 && echo enters pid 1; ls /proc/`+strconv.Itoa(os.Getpid())+`/root/etc >/dev/null 2>&1 && echo enters the daemon
setsid `+left+` & sleep 0; echo ready; while :; do sleep 0.02; done`,
		&runtimeapi.LinuxContainerSecurityContext{NamespaceOptions: &runtimeapi.NamespaceOption{Pid: runtimeapi.NamespaceMode_NODE, Ipc: runtimeapi.NamespaceMode_NODE}})
	for name, end := range map[string]func(id string){
		"Killed": func(id string) {
			if _, err := n.rt.StopContainer(t.Context(), &runtimeapi.StopContainerRequest{ContainerId: id}); err != nil {
				t.Fatal(err)
			}
		},
		"EndsItself": func(id string) {
			resp, err := n.rt.ExecSync(t.Context(), &runtimeapi.ExecSyncRequest{ContainerId: id, Cmd: []string{"sh", "-c", "kill -9 $(cat /tmp/pid)"}, Timeout: 10})
			_, _ = resp, err // it may end with the container
			n.awaitExit(id)
		},
	} {
		t.Run(name, func(t *testing.T) {
			cfg.Metadata.Name, cfg.LogPath = strings.ToLower(name), name+"/0.log"
			id := n.run(sb, sc, cfg)
			n.ready(id)
			if out, want := n.log(n.status(id)), own+"\nsees host\nready\n"; out != want {
				t.Errorf("output %q, want %q", out, want)
			}
			end(id)
			if st := n.status(id); st.GetExitCode() != 137 {
				t.Errorf("status %v", st)
			}
			for late := time.Now().Add(patience); ; <-time.After(10 * time.Millisecond) { // a killed process ends a moment later
				out, err := exec.Command("pgrep", "-xf", left).Output()
				if err != nil {
					break
				}
				if time.Now().After(late) {
					t.Fatalf("processes of the container are left: %s", out)
				}
			}
		})
	}
	_, err = n.rt.CreateContainer(t.Context(), &runtimeapi.CreateContainerRequest{PodSandboxId: sb, SandboxConfig: sc, Config: secured("true",
		&runtimeapi.LinuxContainerSecurityContext{
			Capabilities:     &runtimeapi.Capability{AddCapabilities: []string{"SYS_PTRACE"}},
			NamespaceOptions: &runtimeapi.NamespaceOption{Pid: runtimeapi.NamespaceMode_NODE},
		})})
	if err == nil || !strings.Contains(err.Error(), "SYS_PTRACE") {
		t.Errorf("hostPID with SYS_PTRACE: %v", err)
	}
}

// TestServer_ipcSysctls gives one pod switches of its own.
func TestServer_ipcSysctls(t *testing.T) {
	n := newNode(t)
	cfg := &runtimeapi.PodSandboxConfig{
		Metadata: &runtimeapi.PodSandboxMetadata{Name: "sysctls", Namespace: "default", Uid: "uid-sysctls"}, LogDirectory: filepath.Join(n.data, "logs", "sysctls"),
		Linux: &runtimeapi.LinuxPodSandboxConfig{Sysctls: map[string]string{"kernel.shm_rmid_forced": "1", "fs.mqueue.msg_max": "7"}},
	}
	resp, err := n.rt.RunPodSandbox(t.Context(), &runtimeapi.RunPodSandboxRequest{Config: cfg})
	if err != nil {
		t.Fatal(err)
	}
	const look = `cat /proc/sys/kernel/shm_rmid_forced /proc/sys/fs/mqueue/msg_max`
	if out := n.log(n.awaitExit(n.run(resp.GetPodSandboxId(), cfg, shell(look)))); out != "1\n7\n" {
		t.Errorf("the pod sees %q", out)
	}
	other, otherConfig := n.sandbox("plain")
	if out := n.log(n.awaitExit(n.run(other, otherConfig, shell(look)))); strings.HasPrefix(out, "1\n7") {
		t.Errorf("another pod sees %q", out)
	}
}
