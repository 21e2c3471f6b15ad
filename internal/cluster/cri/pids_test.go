//go:build linux

package cri_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/kiwerk/kiwerk/internal/cluster/shim"
)

// sharing makes a pod whose containers share processes.
func (n *node) sharing(name string) (string, *runtimeapi.PodSandboxConfig) {
	n.t.Helper()
	cfg := sharingConfig(n, name)
	resp, err := n.rt.RunPodSandbox(n.t.Context(), &runtimeapi.RunPodSandboxRequest{Config: cfg})
	if err != nil {
		n.t.Fatal(err)
	}
	return resp.GetPodSandboxId(), cfg
}

func sharingConfig(n *node, name string) *runtimeapi.PodSandboxConfig {
	return &runtimeapi.PodSandboxConfig{
		Metadata: &runtimeapi.PodSandboxMetadata{Name: name, Namespace: "default", Uid: "uid-" + name},
		Hostname: name, LogDirectory: filepath.Join(n.data, "logs", name),
		Linux: &runtimeapi.LinuxPodSandboxConfig{SecurityContext: &runtimeapi.LinuxSandboxSecurityContext{NamespaceOptions: inPod}},
	}
}

// inPIDs is a container in the pid namespace that the options name.
func inPIDs(name, script string, o *runtimeapi.NamespaceOption, caps ...string) *runtimeapi.ContainerConfig {
	cfg := secured(script, &runtimeapi.LinuxContainerSecurityContext{
		NamespaceOptions: o, Capabilities: &runtimeapi.Capability{AddCapabilities: caps},
	})
	cfg.Metadata.Name, cfg.LogPath = name, name+"/0.log"
	return cfg
}

func (n *node) output(id, script string) string {
	n.t.Helper()
	resp, err := n.rt.ExecSync(n.t.Context(), &runtimeapi.ExecSyncRequest{ContainerId: id, Cmd: []string{"sh", "-c", script}, Timeout: 20})
	if err != nil {
		n.t.Fatal(err)
	}
	return string(resp.GetStdout()) + string(resp.GetStderr())
}

// idle is a command that only this run of the tests has, as they look for it on the whole machine.
func idle(n int) string { return fmt.Sprintf("sleep %d%d", 10+n, os.Getpid()) }

// processes counts those of the machine with a command line.
func processes(line string) int {
	out, err := exec.Command("pgrep", "-cxf", line).Output()
	if err != nil {
		return 0
	}
	count, _ := strconv.Atoi(strings.TrimSpace(string(out)))
	return count
}

var inPod = &runtimeapi.NamespaceOption{Pid: runtimeapi.NamespaceMode_POD}

func TestServer_sharedProcesses(t *testing.T) {
	n := newNode(t)
	sb, sc := n.sharing("shared")
	one, two := idle(1), idle(2)
	first := n.run(sb, sc, inPIDs("first", `echo $$; `+one+` & until pgrep -xf "`+one+`" >/dev/null; do sleep 0.02; done; echo ready; while :; do sleep 0.02; done`, inPod))
	n.ready(first)
	pid, _, _ := strings.Cut(n.log(n.status(first)), "\n")
	if pid == "1" {
		t.Error("the container's process is pid 1")
	}
	n.stop()
	n.start() // the second container comes to what another daemon made
	second := n.run(sb, sc, inPIDs("second", `echo ready; while :; do sleep 0.02; done`, inPod))
	n.ready(second)
	for _, id := range []string{first, second} {
		if out := n.output(id, `pgrep -cxf "`+one+`"; tr '\0' ' ' < /proc/1/cmdline | cut -d' ' -f1,2; ls /proc/1/root/ 2>&1 | grep -c ''`); out != "1\nkiwerk-agent pod\n1\n" {
			t.Errorf("a container sees %q", out)
		}
	}
	// What loses its parent is reaped by pid 1, and dies with its container.
	if out := n.output(second, `(setsid `+two+` &) ; until pgrep -xf "`+two+`" >/dev/null; do sleep 0.02; done; ps -o ppid= -p $(pgrep -xf "`+two+`") | tr -d ' '; (sh -c 'exit 0' &); while ps -eo stat= | grep -q Z; do sleep 0.02; done`); out != "1\n" {
		t.Errorf("orphans: %q", out)
	}
	if out := n.output(second, `kill -9 `+pid+` && echo killed`); out != "killed\n" {
		t.Errorf("kill: %q", out)
	}
	if st := n.awaitExit(first); st.GetExitCode() != 137 {
		t.Errorf("the killed container: %v", st)
	}
	if left := processes(one); left != 0 {
		t.Errorf("%d processes of the ended container are left", left)
	}
	if processes(two) != 1 {
		t.Error("a process of the other container is gone")
	}
	if _, err := n.rt.StopPodSandbox(t.Context(), &runtimeapi.StopPodSandboxRequest{PodSandboxId: sb}); err != nil {
		t.Fatal(err)
	}
	if left := processes(two) + processes("kiwerk-agent pod "+sb); left != 0 {
		t.Errorf("%d processes of the stopped pod are left", left)
	}
	if _, err := os.Stat(filepath.Join(n.cfg.StateDir, "pods", sb)); err == nil {
		t.Error("the folder of a stopped pod is left")
	}
}

// TestServer_sharedProcesses_killed has the end of a shim, of pid 1, and the start of a command that is not there.
func TestServer_sharedProcesses_killed(t *testing.T) {
	n := newNode(t)
	sb, sc := n.sharing("killed")
	script := idle(3) + ` & until pgrep -xf "` + idle(3) + `" >/dev/null; do sleep 0.02; done; echo ready; while :; do sleep 0.02; done`
	id := n.run(sb, sc, inPIDs("shim", script, inPod))
	n.ready(id)
	if _, err := n.rt.ExecSync(t.Context(), &runtimeapi.ExecSyncRequest{ContainerId: id, Cmd: []string{"no-such-command"}, Timeout: 10}); err == nil || !strings.Contains(err.Error(), "not found in PATH") {
		t.Errorf("a command that is not there: %v", err)
	}
	if _, err := n.rt.ExecSync(t.Context(), &runtimeapi.ExecSyncRequest{ContainerId: id, Cmd: []string{"/etc/hostname"}, Timeout: 10}); err == nil {
		t.Error("a file that is no program was started")
	}
	if err := exec.Command("pkill", "-9", "-f", "kiwerk-agent shim .*"+id).Run(); err != nil {
		t.Fatal(err)
	}
	if st := n.awaitExit(id); st.GetReason() != shim.ReasonShimLost {
		t.Errorf("without a shim: %v", st)
	}
	id = n.run(sb, sc, inPIDs("pid1", script, inPod))
	n.ready(id)
	if left := processes(idle(3)); left != 1 {
		t.Errorf("%d processes of the containers", left)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	events, err := n.rt.GetContainerEvents(ctx, &runtimeapi.GetEventsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if err := exec.Command("pkill", "-9", "-f", "kiwerk-agent pod "+sb).Run(); err != nil {
		t.Fatal(err)
	}
	if st := n.awaitExit(id); st.GetExitCode() != 137 {
		t.Errorf("without pid 1: %v", st)
	}
	for {
		e, err := events.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if e.GetContainerId() == sb && e.GetContainerEventType() == runtimeapi.ContainerEventType_CONTAINER_STOPPED_EVENT {
			break
		}
	}
	n.stop()
	n.start() // finds it ended, too
	st, err := n.rt.PodSandboxStatus(t.Context(), &runtimeapi.PodSandboxStatusRequest{PodSandboxId: sb})
	if err != nil || st.GetStatus().GetState() != runtimeapi.PodSandboxState_SANDBOX_NOTREADY {
		t.Errorf("the pod without pid 1: %v, %v", st, err)
	}
	if mode := st.GetStatus().GetLinux().GetNamespaces().GetOptions().GetPid(); mode != runtimeapi.NamespaceMode_POD {
		t.Errorf("pid namespace of the pod: %s", mode)
	}
}

// TestServer_sharedProcesses_holdsItsMounts: what a container leaves is found by
// the number of its mount namespace, which no other may get until it was ended.
func TestServer_sharedProcesses_holdsItsMounts(t *testing.T) {
	n := newNode(t)
	sb, sc := n.sharing("held")
	id := n.run(sb, sc, inPIDs("main", "echo ready; sleep 1000", inPod))
	n.ready(id)
	r, err := shim.Adopt(t.Context(), filepath.Join(n.cfg.StateDir, "containers", id))
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/mnt", r.State().InitPID))
	if err != nil {
		t.Fatal(err)
	}
	fds, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", r.State().PID))
	if err != nil {
		t.Fatal(err)
	}
	held := slices.ContainsFunc(fds, func(fd string) bool {
		got, err := os.Readlink(fd)
		return err == nil && got == want
	})
	if !held {
		t.Errorf("the shim does not hold %s", want)
	}
}

// TestServer_sharedProcesses_notRecorded: of a pod that could not be made nobody hears, and nothing is left.
func TestServer_sharedProcesses_notRecorded(t *testing.T) {
	n := newNode(t)
	n.stop()
	var log bytes.Buffer
	n.cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
	n.start()
	records := filepath.Join(n.cfg.StateDir, "sandboxes")
	if err := errors.Join(os.Rename(records, records+"-away"), os.WriteFile(records, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	_, err := n.rt.RunPodSandbox(t.Context(), &runtimeapi.RunPodSandboxRequest{Config: sharingConfig(n, "lost")})
	if err == nil || !strings.Contains(err.Error(), "record pod default/lost") {
		t.Errorf("error %v", err)
	}
	if err := errors.Join(os.Remove(records), os.Rename(records+"-away", records)); err != nil {
		t.Fatal(err)
	}
	n.stop()
	if got := log.String(); strings.Contains(got, "pid 1 of a pod has ended") || strings.Contains(got, "record the end of a pod") {
		t.Errorf("the pod's end is told:\n%s", got)
	}
	n.start()
	if left, err := os.ReadDir(filepath.Join(n.cfg.StateDir, "pods")); err != nil && !errors.Is(err, os.ErrNotExist) || len(left) > 0 {
		t.Errorf("directories of pods: %v, %v", left, err)
	}
}

// TestServer_debugTarget has a debug container that sees the processes of another, and not more.
func TestServer_debugTarget(t *testing.T) {
	n := newNode(t)
	secret := filepath.Join(n.data, "secret")
	if err := os.WriteFile(secret, []byte("the secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	sb, sc := n.sandbox("debug")
	target := n.run(sb, sc, inPIDs("target", `echo mine > /tmp/file; echo ready; while :; do sleep 0.02; done`, nil))
	n.ready(target)
	option := &runtimeapi.NamespaceOption{Pid: runtimeapi.NamespaceMode_TARGET, TargetId: target}
	debugger := n.run(sb, sc, inPIDs("debugger", `echo ready; while :; do sleep 0.02; done`, option, "SYS_PTRACE"))
	n.ready(debugger)
	if out := n.output(debugger, `tr '\0' ' ' < /proc/1/cmdline | cut -d' ' -f1,2; p=$(pgrep -of 'echo mine'); cat /proc/$p/root/tmp/file
for r in /proc/[0-9]*/root; do cat $r`+secret+` 2>/dev/null && echo by $r; done; grep CapPrm /proc/1/status; cat /proc/1/environ | wc -c`); !strings.HasPrefix(out, "kiwerk-agent init\nmine\nCapPrm:") {
		t.Errorf("the debug container sees %q", out)
	} else if rights := rightsIn(t, out); rights&(1<<unix.CAP_SYS_ADMIN|1<<unix.CAP_SYS_PTRACE|1<<unix.CAP_MKNOD|1<<unix.CAP_DAC_READ_SEARCH) != 0 {
		t.Errorf("the target's init has the rights %x", rights)
	}
	if out := n.output(target, `ls /proc/1/root/ /proc/1/fd >/dev/null 2>&1 && echo enters; echo done`); out != "done\n" {
		t.Errorf("a container and its init: %q", out)
	}
	// A second one joins the debugger's processes, which are the target's.
	again := n.run(sb, sc, inPIDs("again", `pgrep -f 'echo mine' >/dev/null && echo sees`, &runtimeapi.NamespaceOption{Pid: runtimeapi.NamespaceMode_TARGET, TargetId: debugger}))
	if out := n.log(n.awaitExit(again)); out != "sees\n" {
		t.Errorf("a debug container of a debug container: %q", out)
	}
	if _, err := n.rt.StopContainer(t.Context(), &runtimeapi.StopContainerRequest{ContainerId: target}); err != nil {
		t.Fatal(err)
	}
	if st := n.awaitExit(debugger); st.GetExitCode() != 137 {
		t.Errorf("the debug container after its target's end: %v", st)
	}
	other, otherConfig := n.sandbox("other")
	for name, id := range map[string]string{"Ended": target, "OtherPod": debugger} {
		sandbox, config := sb, sc
		if name == "OtherPod" {
			sandbox, config = other, otherConfig
		}
		_, err := n.rt.CreateContainer(t.Context(), &runtimeapi.CreateContainerRequest{
			PodSandboxId: sandbox, SandboxConfig: config,
			Config: inPIDs("x", "true", &runtimeapi.NamespaceOption{Pid: runtimeapi.NamespaceMode_TARGET, TargetId: id}),
		})
		if err == nil || !strings.Contains(err.Error(), "does not run") && !strings.Contains(err.Error(), "is not one of this pod") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func rightsIn(t *testing.T, text string) uint64 {
	t.Helper()
	_, after, _ := strings.Cut(text, "CapPrm:")
	rights, err := strconv.ParseUint(strings.Fields(after)[0], 16, 64)
	if err != nil {
		t.Fatal(err)
	}
	return rights
}

// TestServer_sharedProcesses_terminal has a terminal, another user where there is one, and a command's group.
func TestServer_sharedProcesses_terminal(t *testing.T) {
	n := newNode(t)
	sb, sc := n.sharing("tty")
	cfg := inPIDs("tty", `tty; test -t 0 && echo terminal; cat /proc/self/oom_score_adj; sleep 0`, inPod)
	cfg.Tty = true
	cfg.Linux.Resources = &runtimeapi.LinuxContainerResources{OomScoreAdj: 500}
	if out := n.log(n.awaitExit(n.run(sb, sc, cfg))); strings.ReplaceAll(out, "\r", "") != "/dev/pts/0\nterminal\n500\n" {
		t.Errorf("output %q", out)
	}
}
