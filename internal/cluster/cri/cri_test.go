//go:build linux

package cri_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/utils/clock"

	"github.com/kiwerk/kiwerk/internal/cluster/agenttest"
	"github.com/kiwerk/kiwerk/internal/cluster/cri"
)

// patience is how long a test waits for what should happen at once: the machine may be busy.
const patience = 2 * time.Minute

func TestMain(m *testing.M) { agenttest.Main(m) }

func TestAsOrdinaryUser(t *testing.T) { agenttest.AsUser(t) }

// node is a runtime with a client.
type node struct {
	t    testing.TB
	data string
	cfg  cri.Config
	srv  *cri.Server
	conn *grpc.ClientConn
	rt   runtimeapi.RuntimeServiceClient
	im   runtimeapi.ImageServiceClient
}

func newNode(t testing.TB) *node {
	t.Helper()
	data := t.TempDir()
	run, err := os.MkdirTemp("", "kw") //nolint:usetesting // Sockets need a short path.
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(run) })
	n := &node{t: t, data: data, cfg: cri.Config{
		CgroupName: "kiwerk-test-" + filepath.Base(run), StateDir: filepath.Join(data, "cri"), RuntimeDir: run, AgentPath: agenttest.Agent(),
		Masks: []string{data, run}, VolumeDirs: []string{filepath.Join(data, "volumes")}, PodLogsDir: filepath.Join(data, "logs"),
		APIAddress: "127.0.0.1:6443", NodeIP: "192.0.2.1", PythonDir: "/opt/python/bin",
		Logger: slog.New(slog.NewTextHandler(t.Output(), nil)), Clock: clock.RealClock{},
	}}
	n.start()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		_, _ = n.srv, n.srv.StopContainers(ctx)
		n.stop()
	})
	return n
}

func (n *node) start() {
	n.t.Helper()
	var err error
	if n.srv, err = cri.New(n.cfg); err != nil {
		n.t.Fatal(err)
	}
	if err := n.srv.Start(n.t.Context()); err != nil {
		n.t.Fatal(err)
	}
	if n.conn, err = grpc.NewClient(n.srv.Endpoint(), grpc.WithTransportCredentials(insecure.NewCredentials())); err != nil {
		n.t.Fatal(err)
	}
	n.rt, n.im = runtimeapi.NewRuntimeServiceClient(n.conn), runtimeapi.NewImageServiceClient(n.conn)
}

func (n *node) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := n.srv.Stop(ctx); err != nil {
		n.t.Error(err)
	}
	_ = n.conn.Close()
}

func (n *node) sandbox(name string) (string, *runtimeapi.PodSandboxConfig) {
	n.t.Helper()
	cfg := &runtimeapi.PodSandboxConfig{
		Metadata: &runtimeapi.PodSandboxMetadata{Name: name, Namespace: "default", Uid: "uid-" + name},
		Hostname: name, LogDirectory: filepath.Join(n.data, "logs", name),
		Labels: map[string]string{"io.kubernetes.pod.name": name},
	}
	resp, err := n.rt.RunPodSandbox(n.t.Context(), &runtimeapi.RunPodSandboxRequest{Config: cfg})
	if err != nil {
		n.t.Fatal(err)
	}
	return resp.GetPodSandboxId(), cfg
}

func shell(script string) *runtimeapi.ContainerConfig {
	return &runtimeapi.ContainerConfig{
		Metadata: &runtimeapi.ContainerMetadata{Name: "main"}, Image: &runtimeapi.ImageSpec{Image: "docker.io/library/busybox:latest"},
		Command: []string{"/bin/sh", "-c", script}, LogPath: "main/0.log",
	}
}

func (n *node) run(sandbox string, sc *runtimeapi.PodSandboxConfig, cfg *runtimeapi.ContainerConfig) string {
	n.t.Helper()
	c, err := n.rt.CreateContainer(n.t.Context(), &runtimeapi.CreateContainerRequest{PodSandboxId: sandbox, Config: cfg, SandboxConfig: sc})
	if err != nil {
		n.t.Fatal(err)
	}
	if _, err := n.rt.StartContainer(n.t.Context(), &runtimeapi.StartContainerRequest{ContainerId: c.GetContainerId()}); err != nil {
		n.t.Fatal(err)
	}
	return c.GetContainerId()
}

func (n *node) status(id string) *runtimeapi.ContainerStatus {
	n.t.Helper()
	st, err := n.rt.ContainerStatus(n.t.Context(), &runtimeapi.ContainerStatusRequest{ContainerId: id})
	if err != nil {
		n.t.Fatal(err)
	}
	return st.GetStatus()
}

// awaitExit waits for the stop event of a container.
func (n *node) awaitExit(id string) *runtimeapi.ContainerStatus {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(n.t.Context(), patience)
	defer cancel()
	events, err := n.rt.GetContainerEvents(ctx, &runtimeapi.GetEventsRequest{})
	if err != nil {
		n.t.Fatal(err)
	}
	for {
		if st := n.status(id); st.GetState() == runtimeapi.ContainerState_CONTAINER_EXITED {
			return st
		}
		if _, err := events.Recv(); err != nil {
			// The end may have come before the subscription was there.
			if st := n.status(id); st.GetState() == runtimeapi.ContainerState_CONTAINER_EXITED {
				return st
			}
			n.t.Fatalf("container %s did not end: %v", id, err)
		}
	}
}

func (n *node) log(st *runtimeapi.ContainerStatus) string {
	n.t.Helper()
	data, err := os.ReadFile(st.GetLogPath())
	if err != nil {
		n.t.Fatal(err)
	}
	var out strings.Builder
	for line := range strings.Lines(string(data)) {
		if f := strings.SplitN(line, " ", 4); len(f) == 4 {
			out.WriteString(f[3])
		}
	}
	return out.String()
}

func TestServer_runsPod(t *testing.T) {
	n := newNode(t)
	sb, sc := n.sandbox("web")
	id := n.run(sb, sc, shell(`env; hostname; exit 4`))
	st := n.awaitExit(id)
	out := n.log(st)
	if st.GetExitCode() != 4 || st.GetReason() != "Error" || st.GetFinishedAt() < st.GetStartedAt() || st.GetStartedAt() == 0 {
		t.Errorf("status %v", st)
	}
	for _, want := range []string{
		"PORT=2", "KUBERNETES_SERVICE_HOST=127.0.0.1\n", "KUBERNETES_SERVICE_PORT=6443\n", "PATH=/opt/python/bin:/usr", "HOME=/.kiwerk/home\n", "\nweb\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("output lacks %q:\n%s", want, out)
		}
	}
}

func TestServer_adoptsAfterRestart(t *testing.T) {
	n := newNode(t)
	sb, sc := n.sandbox("long")
	id := n.run(sb, sc, shell(`while [ ! -e /tmp/stop ]; do sleep 0.05; done; exit 7`))
	before := n.status(id)
	n.stop()
	n.start()
	after := n.status(id)
	if after.GetState() != runtimeapi.ContainerState_CONTAINER_RUNNING || after.GetStartedAt() != before.GetStartedAt() {
		t.Fatalf("after restart: %v", after)
	}
	resp, err := n.rt.ExecSync(t.Context(), &runtimeapi.ExecSyncRequest{ContainerId: id, Cmd: []string{"sh", "-c", "echo out; echo err >&2; exit 5"}, Timeout: 10})
	if err != nil {
		t.Fatal(err)
	}
	if string(resp.GetStdout()) != "out\n" || string(resp.GetStderr()) != "err\n" || resp.GetExitCode() != 5 {
		t.Errorf("exec %v", resp)
	}
	// The container may end before this process does, and take it along.
	_, err = n.rt.ExecSync(t.Context(), &runtimeapi.ExecSyncRequest{ContainerId: id, Cmd: []string{"touch", "/tmp/stop"}, Timeout: 10})
	if err != nil && status.Code(err) != codes.FailedPrecondition {
		t.Error(err)
	}
	if st := n.awaitExit(id); st.GetExitCode() != 7 {
		t.Errorf("status %v", st)
	}
}
