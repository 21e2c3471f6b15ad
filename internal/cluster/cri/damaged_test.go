//go:build linux

package cri_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/kiwerk/kiwerk/internal/cluster/shim"
)

// TestServer_load_damaged empties the records of a container that has ended, as
// a power cut does: the start goes on and says that the container is over.
func TestServer_load_damaged(t *testing.T) {
	n := newNode(t)
	sb, sc := n.sandbox("damaged")
	id := n.run(sb, sc, shell("exit 3"))
	n.awaitExit(id)
	dir := filepath.Join(n.cfg.StateDir, "containers", id)
	for _, c := range []struct {
		name, reason string
		code         int32
	}{
		{"spec.json", shim.ReasonError, 3}, // exit.json still tells
		{"exit.json", shim.ReasonShimLost, 255},
		{"shim.json", shim.ReasonShimLost, 255},
	} {
		n.stop()
		if err := os.Truncate(filepath.Join(dir, c.name), 0); err != nil {
			t.Fatal(err)
		}
		n.start()
		if st := n.status(id); st.GetState() != runtimeapi.ContainerState_CONTAINER_EXITED || st.GetReason() != c.reason || st.GetExitCode() != c.code {
			t.Errorf("%s empty: container %v", c.name, st)
		}
	}
	n.stop()
	if err := os.Remove(filepath.Join(dir, "exit.json")); err != nil {
		t.Fatal(err)
	}
	n.start() // spec.json and shim.json are empty
	if st := n.status(id); st.GetState() != runtimeapi.ContainerState_CONTAINER_EXITED || st.GetReason() != shim.ReasonShimLost {
		t.Errorf("all empty: container %v", st)
	}
	if _, err := n.rt.RemoveContainer(t.Context(), &runtimeapi.RemoveContainerRequest{ContainerId: id}); err != nil {
		t.Error(err)
	}
}

// TestServer_load_damagedWhileRunning damages records of running containers:
// these are ended and reported, their neighbours run on.
func TestServer_load_damagedWhileRunning(t *testing.T) {
	for _, file := range []string{"spec.json", "shim.json", "container.json"} {
		t.Run(file, func(t *testing.T) {
			n := newNode(t)
			sb, sc := n.sandbox("damaged")
			hurt := n.run(sb, sc, shell("echo ready; sleep 1000"))
			sb2, sc2 := n.sandbox("whole")
			whole := n.run(sb2, sc2, shell("echo ready; sleep 1000"))
			n.ready(hurt)
			n.ready(whole)
			n.stop()
			dir := filepath.Join(n.cfg.StateDir, "containers", hurt)
			r, err := shim.Adopt(t.Context(), dir)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, file), []byte("{\x00"), 0o600); err != nil {
				t.Fatal(err)
			}
			n.start()
			select {
			case <-r.Done():
			case <-time.After(10 * time.Second):
				t.Error("the container runs on, and nobody knows it")
			}
			if st := n.status(whole); st.GetState() != runtimeapi.ContainerState_CONTAINER_RUNNING {
				t.Errorf("its neighbour: %v", st)
			}
			if file == "container.json" {
				if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
					t.Errorf("its directory is left: %v", err)
				}
				return
			}
			st := n.status(hurt)
			if st.GetState() != runtimeapi.ContainerState_CONTAINER_EXITED || st.GetReason() != shim.ReasonShimLost || !strings.Contains(st.GetMessage(), file) || st.GetExitCode() != 137 {
				t.Errorf("container %v", st)
			}
		})
	}
}

// TestServer_load_withoutRecordNorEnd has a shim that cannot be ended: its
// directory is all by which the next start may find it, and no reason to fail.
func TestServer_load_withoutRecordNorEnd(t *testing.T) {
	n := newNode(t)
	n.stop()
	dir := filepath.Join(n.cfg.StateDir, "containers", strings.Repeat("a", 64))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	lock, err := os.Create(filepath.Join(dir, "lock"))
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	n.start()
	if _, err := os.Stat(dir); err != nil {
		t.Errorf("its directory: %v", err)
	}
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	n.stop()
	n.start()
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("when it has ended its directory is left: %v", err)
	}
}

// TestServer_load_damagedPod damages the record of a pod whose containers share
// processes: the pod is over, and nothing of it runs on unknown to anybody.
func TestServer_load_damagedPod(t *testing.T) {
	n := newNode(t)
	sb, sc := n.sharing("damaged-pod")
	id := n.run(sb, sc, inPIDs("main", "echo ready; while :; do sleep 0.02; done", inPod))
	n.ready(id)
	n.stop()
	if err := os.Truncate(filepath.Join(n.cfg.StateDir, "pods", sb, "pod.json"), 0); err != nil {
		t.Fatal(err)
	}
	n.start()
	st, err := n.rt.PodSandboxStatus(t.Context(), &runtimeapi.PodSandboxStatusRequest{PodSandboxId: sb})
	if err != nil || st.GetStatus().GetState() != runtimeapi.PodSandboxState_SANDBOX_NOTREADY {
		t.Errorf("pod %v, %v", st, err)
	}
	if _, err := n.rt.StopPodSandbox(t.Context(), &runtimeapi.StopPodSandboxRequest{PodSandboxId: sb}); err != nil {
		t.Fatal(err)
	}
	if left := processes("kiwerk-agent pod " + sb); left != 0 {
		t.Errorf("%d processes are left of its pid 1", left)
	}
}
