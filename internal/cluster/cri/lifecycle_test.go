//go:build linux

package cri_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/kiwerk/kiwerk/internal/cluster/cri"
	"github.com/kiwerk/kiwerk/internal/cluster/shim"
)

const untilTerm = `trap 'echo asked; exit 5' TERM; echo ready; while :; do sleep 0.02; done`

// ready waits until the container has said so.
func (n *node) ready(id string) {
	n.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); <-tick.C {
		if data, err := os.ReadFile(n.status(id).GetLogPath()); err == nil && strings.Contains(string(data), "ready") {
			return
		}
	}
	n.t.Fatalf("container %s does not get ready", id)
}

func TestServer_StopContainer(t *testing.T) {
	n := newNode(t)
	sb, sc := n.sandbox("stop")
	for name, c := range map[string]struct {
		script string
		grace  int64
		signal runtimeapi.Signal
		code   int32
	}{
		"Asked":       {untilTerm, 20, 0, 5},
		"OwnSignal":   {`trap 'exit 6' USR1; echo ready; while :; do sleep 0.02; done`, 20, runtimeapi.Signal_SIGNAL_SIGUSR1, 6},
		"Stubborn":    {`trap '' TERM; echo ready; while :; do sleep 0.02; done`, 1, 0, 137},
		"WithoutTime": {untilTerm, 0, 0, 137},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := shell(c.script)
			cfg.Metadata.Name, cfg.LogPath, cfg.StopSignal = strings.ToLower(name), name+"/0.log", c.signal
			id := n.run(sb, sc, cfg)
			n.ready(id)
			if _, err := n.rt.StopContainer(t.Context(), &runtimeapi.StopContainerRequest{ContainerId: id, Timeout: c.grace}); err != nil {
				t.Fatal(err)
			}
			if st := n.status(id); st.GetState() != runtimeapi.ContainerState_CONTAINER_EXITED || st.GetExitCode() != c.code {
				t.Errorf("status %v", st)
			}
			if _, err := n.rt.StopContainer(t.Context(), &runtimeapi.StopContainerRequest{ContainerId: id, Timeout: 1}); err != nil {
				t.Errorf("stop again: %v", err)
			}
		})
	}
}

func TestServer_sandboxes(t *testing.T) {
	n := newNode(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ports := n.srv.WatchPorts(ctx)
	first, sc := n.sandbox("one")
	second, _ := n.sandbox("two")
	a, b := <-ports, <-ports
	if a.Name != "one" || b.Name != "two" || a.Port == b.Port || a.UID != "uid-one" || a.Namespace != "default" {
		t.Errorf("ports %+v, %+v", a, b)
	}
	id := n.run(first, sc, shell(`echo $PORT; echo ready; sleep 1000`))
	n.ready(id)
	if out := n.log(n.status(id)); !strings.HasPrefix(out, fmt.Sprint(a.Port)+"\n") {
		t.Errorf("PORT in the container is %q, expected %d", out, a.Port)
	}
	n.stop()
	n.start()
	if again := <-n.srv.WatchPorts(ctx); again.Port != a.Port && again.Port != b.Port {
		t.Errorf("after restart: %+v", again)
	}
	if _, err := n.rt.StopPodSandbox(t.Context(), &runtimeapi.StopPodSandboxRequest{PodSandboxId: first}); err != nil {
		t.Fatal(err)
	}
	if st := n.status(id); st.GetExitCode() != 137 {
		t.Errorf("container of a stopped pod: %v", st)
	}
	st, err := n.rt.PodSandboxStatus(t.Context(), &runtimeapi.PodSandboxStatusRequest{PodSandboxId: first})
	if err != nil || st.GetStatus().GetState() != runtimeapi.PodSandboxState_SANDBOX_NOTREADY || st.GetStatus().GetNetwork().GetIp() != "192.0.2.1" {
		t.Errorf("status %v, %v", st, err)
	}
	for range 2 { // removal may be repeated
		if _, err := n.rt.RemovePodSandbox(t.Context(), &runtimeapi.RemovePodSandboxRequest{PodSandboxId: first}); err != nil {
			t.Fatal(err)
		}
	}
	list, err := n.rt.ListPodSandbox(t.Context(), &runtimeapi.ListPodSandboxRequest{})
	if err != nil || len(list.GetItems()) != 1 || list.GetItems()[0].GetId() != second {
		t.Errorf("pods %v, %v", list, err)
	}
	containers, err := n.rt.ListContainers(t.Context(), &runtimeapi.ListContainersRequest{})
	if err != nil || len(containers.GetContainers()) != 0 {
		t.Errorf("containers %v, %v", containers, err)
	}
	left, err := filepath.Glob(filepath.Join(n.cfg.StateDir, "*", "*"))
	if err != nil || len(left) != 1 {
		t.Errorf("left on disk: %v, %v", left, err)
	}
}

// TestServer_events checks what an evented kubelet hears of one container.
func TestServer_events(t *testing.T) {
	n := newNode(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	stream, err := n.rt.GetContainerEvents(ctx, &runtimeapi.GetEventsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	// The stream exists for the server once it answers something else on the connection.
	waitSubscribed(t, n)
	sb, sc := n.sandbox("events")
	id := n.run(sb, sc, shell("true"))
	n.awaitExit(id)
	if _, err := n.rt.RemovePodSandbox(t.Context(), &runtimeapi.RemovePodSandboxRequest{PodSandboxId: sb}); err != nil {
		t.Fatal(err)
	}
	var got []string
	for {
		ev, err := stream.Recv()
		if err != nil {
			t.Fatalf("%v after %v", err, got)
		}
		if strings.HasPrefix(ev.GetPodSandboxStatus().GetMetadata().GetName(), "probe") {
			continue
		}
		who := "container"
		if ev.GetContainerId() == sb {
			who = "pod"
		}
		got = append(got, who+" "+strings.TrimSuffix(strings.TrimPrefix(ev.GetContainerEventType().String(), "CONTAINER_"), "_EVENT"))
		if ev.GetContainerId() == id && ev.GetContainerEventType() == runtimeapi.ContainerEventType_CONTAINER_STOPPED_EVENT {
			if st := ev.GetContainersStatuses(); len(st) != 1 || st[0].GetState() != runtimeapi.ContainerState_CONTAINER_EXITED {
				t.Errorf("statuses with the stop: %v", st)
			}
		}
		if got[len(got)-1] == "pod DELETED" {
			break
		}
	}
	want := "pod CREATED, pod STARTED, container CREATED, container STARTED, container STOPPED, pod STOPPED, container DELETED, pod DELETED"
	if all := strings.Join(got, ", "); all != want {
		t.Errorf("events %s\nexpected %s", all, want)
	}
}

// waitSubscribed makes pods until the first subscriber must have been there.
func waitSubscribed(t *testing.T, n *node) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for i := 0; n.srv.Subscribers() == 0; i++ {
		if ctx.Err() != nil {
			t.Fatal("nobody subscribed")
		}
		_, err := n.rt.Version(ctx, &runtimeapi.VersionRequest{})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestServer_load is about what happened while no daemon was there.
func TestServer_load(t *testing.T) {
	n := newNode(t)
	sb, sc := n.sandbox("load")
	created, err := n.rt.CreateContainer(t.Context(), &runtimeapi.CreateContainerRequest{PodSandboxId: sb, Config: shell("exit 3"), SandboxConfig: sc})
	if err != nil {
		t.Fatal(err)
	}
	named := func(name, script string) *runtimeapi.ContainerConfig {
		cfg := shell(script)
		cfg.Metadata.Name, cfg.LogPath = name, name+"/0.log"
		return cfg
	}
	ended := n.run(sb, sc, named("ended", `echo ready; while [ ! -e /tmp/go ]; do sleep 0.02; done; exit 9`))
	lost := n.run(sb, sc, named("lost", "echo ready; sleep 1000"))
	foreign := n.run(sb, sc, named("foreign", "echo ready; sleep 1000"))
	for _, id := range []string{ended, lost, foreign} {
		n.ready(id)
	}
	dir := func(id string) string { return filepath.Join(n.cfg.StateDir, "containers", id) }
	n.stop()
	// One ends by itself, one loses its shim, one belongs to a holder that is gone.
	r, err := shim.Adopt(t.Context(), dir(ended))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Signal(15); err != nil && !errors.Is(err, shim.ErrGone) {
		t.Fatal(err)
	}
	<-r.Done()
	if r, err = shim.Adopt(t.Context(), dir(lost)); err != nil {
		t.Fatal(err)
	}
	p, err := os.FindProcess(r.State().PID)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	<-r.Done()
	if r, err = shim.Adopt(t.Context(), dir(foreign)); err != nil {
		t.Fatal(err)
	}
	state := r.State()
	state.MountNS = "mnt:[1]"
	data, err := json.Marshal(state)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir(foreign), "shim.json"), data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir("half-made"), 0o700); err != nil {
		t.Fatal(err)
	}
	n.start()
	if st := n.status(created.GetContainerId()); st.GetState() != runtimeapi.ContainerState_CONTAINER_CREATED {
		t.Errorf("created: %v", st)
	}
	if st := n.status(ended); st.GetState() != runtimeapi.ContainerState_CONTAINER_EXITED || st.GetExitCode() != 143 {
		t.Errorf("ended: %v", st)
	}
	if st := n.status(lost); st.GetExitCode() != 137 || st.GetReason() != shim.ReasonShimLost || st.GetStartedAt() == 0 || st.GetFinishedAt() == 0 {
		t.Errorf("lost: %v", st)
	}
	if st := n.awaitExit(foreign); st.GetExitCode() != 137 || st.GetReason() != "HolderLost" || !strings.Contains(st.GetMessage(), "restart policy") {
		t.Errorf("foreign: %v", st)
	}
	if _, err := os.Stat(dir("half-made")); err == nil {
		t.Error("a half-made container was kept")
	}
	if _, err := n.rt.StartContainer(t.Context(), &runtimeapi.StartContainerRequest{ContainerId: created.GetContainerId()}); err != nil {
		t.Fatal(err)
	}
	if st := n.awaitExit(created.GetContainerId()); st.GetExitCode() != 3 {
		t.Errorf("started later: %v", st)
	}
}

func TestServer_StopContainers(t *testing.T) {
	n := newNode(t)
	sb, sc := n.sandbox("all")
	cfg := shell(untilTerm)
	cfg.Annotations = map[string]string{"io.kubernetes.pod.terminationGracePeriod": "20"}
	id := n.run(sb, sc, cfg)
	n.ready(id)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := n.srv.StopContainers(ctx); err != nil {
		t.Fatal(err)
	}
	if st := n.status(id); st.GetExitCode() != 5 {
		t.Errorf("status %v", st)
	}
}

func TestServer_refusals(t *testing.T) {
	n := newNode(t)
	sb, sc := n.sandbox("refusals")
	linux := func(sc *runtimeapi.LinuxContainerSecurityContext) func(*runtimeapi.ContainerConfig) {
		return func(c *runtimeapi.ContainerConfig) { c.Linux = &runtimeapi.LinuxContainerConfig{SecurityContext: sc} }
	}
	for name, c := range map[string]struct {
		change func(*runtimeapi.ContainerConfig)
		want   string
	}{
		"NoName":    {func(c *runtimeapi.ContainerConfig) { c.Metadata.Name = "" }, "metadata without name"},
		"LogEscape": {func(c *runtimeapi.ContainerConfig) { c.LogPath = "../../x.log" }, "leads out of the pod's log directory"},
		"Cwd":       {func(c *runtimeapi.ContainerConfig) { c.WorkingDir = "x" }, "is not absolute"},
		"MountPath": {func(c *runtimeapi.ContainerConfig) {
			c.Mounts = []*runtimeapi.Mount{{ContainerPath: "v", HostPath: "/"}}
		}, "both paths must be absolute"},
		"EnvName": {func(c *runtimeapi.ContainerConfig) { c.Envs = []*runtimeapi.KeyValue{{Key: "A=B"}} }, "environment variable"},
		"NUL":     {func(c *runtimeapi.ContainerConfig) { c.Args = []string{"a\x00b"} }, "NUL byte"},
		"NoSuchUser": {func(c *runtimeapi.ContainerConfig) {
			c.Linux = &runtimeapi.LinuxContainerConfig{SecurityContext: &runtimeapi.LinuxContainerSecurityContext{RunAsUser: &runtimeapi.Int64Value{Value: -1}}}
		}, "is not between 0 and 4294967294"},
		"NoCommand":   {func(c *runtimeapi.ContainerConfig) { c.Command, c.Image.Image = nil, "example.com/unknown" }, "has no entrypoint here"},
		"TargetPID":   {linux(&runtimeapi.LinuxContainerSecurityContext{NamespaceOptions: &runtimeapi.NamespaceOption{Pid: runtimeapi.NamespaceMode_TARGET, TargetId: "x"}}), "is not one of this pod"},
		"UserNS":      {linux(&runtimeapi.LinuxContainerSecurityContext{NamespaceOptions: &runtimeapi.NamespaceOption{Pid: 1, UsernsOptions: &runtimeapi.UserNamespace{}}}), "hostUsers"},
		"SysAdmin":    {linux(&runtimeapi.LinuxContainerSecurityContext{Capabilities: &runtimeapi.Capability{AddCapabilities: []string{"SYS_ADMIN"}}}), "SYS_ADMIN"},
		"Seccomp":     {linux(&runtimeapi.LinuxContainerSecurityContext{Seccomp: &runtimeapi.SecurityProfile{ProfileType: 2, LocalhostRef: "p.json"}}), "p.json"},
		"AppArmor":    {linux(&runtimeapi.LinuxContainerSecurityContext{Apparmor: &runtimeapi.SecurityProfile{ProfileType: 2, LocalhostRef: "prof"}}), "prof"},
		"UnknownUser": {linux(&runtimeapi.LinuxContainerSecurityContext{RunAsUsername: "no-such-user"}), "no-such-user"},
		"ImageVolume": {func(c *runtimeapi.ContainerConfig) {
			c.Mounts = []*runtimeapi.Mount{{ContainerPath: "/v", Image: &runtimeapi.ImageSpec{Image: "x"}}}
		}, "volume at /v: image x: a volume needs the image itself"},
		"Bidirectinal": {func(c *runtimeapi.ContainerConfig) {
			c.Mounts = []*runtimeapi.Mount{{ContainerPath: "/v", HostPath: "/", Propagation: 2}}
		}, "Bidirectional"},
		"CDI": {func(c *runtimeapi.ContainerConfig) {
			c.CDIDevices = []*runtimeapi.CDIDevice{{Name: "nvidia.com/gpu=0"}}
		}, "nvidia.com/gpu=0"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := shell("true")
			c.change(cfg)
			_, err := n.rt.CreateContainer(t.Context(), &runtimeapi.CreateContainerRequest{PodSandboxId: sb, Config: cfg, SandboxConfig: sc})
			if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, expected %q", err, c.want)
			}
		})
	}
	for name, c := range map[string]struct {
		change func(*runtimeapi.RunPodSandboxRequest)
		want   string
	}{
		"LogElsewhere": {func(r *runtimeapi.RunPodSandboxRequest) { r.Config.LogDirectory = "/etc/logs" }, "does not lie below"},
		"BadUID":       {func(r *runtimeapi.RunPodSandboxRequest) { r.Config.Metadata.Uid = "../x" }, "uid"},
		"BadHostname":  {func(r *runtimeapi.RunPodSandboxRequest) { r.Config.Hostname = "a\nb" }, "hostname"},
		"RuntimeClass": {func(r *runtimeapi.RunPodSandboxRequest) { r.RuntimeHandler = "gvisor" }, "gvisor"},
		"Sysctls":      {func(r *runtimeapi.RunPodSandboxRequest) { r.Config.Linux.Sysctls = map[string]string{"net.x": "1"} }, "net.x"},
	} {
		t.Run(name, func(t *testing.T) {
			req := &runtimeapi.RunPodSandboxRequest{Config: &runtimeapi.PodSandboxConfig{
				Metadata: &runtimeapi.PodSandboxMetadata{Name: "p", Namespace: "default", Uid: "u"},
				Linux: &runtimeapi.LinuxPodSandboxConfig{SecurityContext: &runtimeapi.LinuxSandboxSecurityContext{
					NamespaceOptions: &runtimeapi.NamespaceOption{Pid: runtimeapi.NamespaceMode_CONTAINER},
				}},
			}}
			c.change(req)
			_, err := n.rt.RunPodSandbox(t.Context(), req)
			if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, expected %q", err, c.want)
			}
		})
	}
}

// TestServer_startInAStoppedPod is what a client sees that is slower than the end of its pod.
func TestServer_startInAStoppedPod(t *testing.T) {
	n := newNode(t)
	sb, sc := n.sandbox("stopped")
	c, err := n.rt.CreateContainer(t.Context(), &runtimeapi.CreateContainerRequest{PodSandboxId: sb, Config: shell("true"), SandboxConfig: sc})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.rt.StopPodSandbox(t.Context(), &runtimeapi.StopPodSandboxRequest{PodSandboxId: sb}); err != nil {
		t.Fatal(err)
	}
	_, err = n.rt.StartContainer(t.Context(), &runtimeapi.StartContainerRequest{ContainerId: c.GetContainerId()})
	if status.Code(err) != codes.FailedPrecondition {
		t.Errorf("error %v, want one of state, as nothing is wrong with what was asked", err)
	}
}

func TestServer_otherUser(t *testing.T) {
	n := newNode(t)
	sb, sc := n.sandbox("user")
	cfg := shell("id -u; id -G")
	cfg.Linux = &runtimeapi.LinuxContainerConfig{SecurityContext: &runtimeapi.LinuxContainerSecurityContext{
		RunAsUser: &runtimeapi.Int64Value{Value: 1234}, RunAsGroup: &runtimeapi.Int64Value{Value: 5}, SupplementalGroups: []int64{77},
	}}
	if os.Getenv("KIWERK_TEST_AS_USER") != "" {
		_, err := n.rt.CreateContainer(t.Context(), &runtimeapi.CreateContainerRequest{PodSandboxId: sb, Config: cfg, SandboxConfig: sc})
		if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "runAsUser 1234 is not available: Kiwerk runs as an ordinary user to whom this host grants no subordinate ids") {
			t.Errorf("error %v", err)
		}
		return
	}
	if out := n.log(n.awaitExit(n.run(sb, sc, cfg))); out != "1234\n5 77\n" {
		t.Errorf("output %q", out)
	}
	// A name brings the group that it has on the host.
	cfg = shell("id -un; id -gn")
	cfg.Metadata.Name, cfg.LogPath = "named", "named/0.log"
	cfg.Linux = &runtimeapi.LinuxContainerConfig{SecurityContext: &runtimeapi.LinuxContainerSecurityContext{RunAsUsername: "daemon"}}
	if out := n.log(n.awaitExit(n.run(sb, sc, cfg))); out != "daemon\ndaemon\n" {
		t.Errorf("output %q", out)
	}
}

func TestServer_startErrors(t *testing.T) {
	n := newNode(t)
	sb, sc := n.sandbox("bad")
	cfg := shell("")
	cfg.Command = []string{"no-such-tool"}
	c, err := n.rt.CreateContainer(t.Context(), &runtimeapi.CreateContainerRequest{PodSandboxId: sb, Config: cfg, SandboxConfig: sc})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{`executable "no-such-tool" not found`, "was started already"} {
		_, err = n.rt.StartContainer(t.Context(), &runtimeapi.StartContainerRequest{ContainerId: c.GetContainerId()})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("start %d: %v, expected %q", i, err, want)
		}
	}
	if st := n.status(c.GetContainerId()); st.GetState() != runtimeapi.ContainerState_CONTAINER_EXITED || st.GetExitCode() != 128 || st.GetReason() != "StartError" {
		t.Errorf("status %v", st)
	}
	if _, err := n.rt.ContainerStatus(t.Context(), &runtimeapi.ContainerStatusRequest{ContainerId: "none"}); status.Code(err) != codes.NotFound {
		t.Errorf("unknown container: %v", err)
	}
}

func TestServer_images(t *testing.T) {
	n := newNode(t)
	st, err := n.im.ImageStatus(t.Context(), &runtimeapi.ImageStatusRequest{Image: &runtimeapi.ImageSpec{Image: "python:3.12"}})
	if err != nil || st.GetImage().GetId() != cri.HostTools {
		t.Errorf("status %v, %v", st, err)
	}
	pull, err := n.im.PullImage(t.Context(), &runtimeapi.PullImageRequest{Image: &runtimeapi.ImageSpec{Image: "python:3.12"}})
	if err != nil || pull.GetImageRef() != st.GetImage().GetId() {
		t.Errorf("pull %v, %v", pull, err)
	}
	fs, err := n.im.ImageFsInfo(t.Context(), &runtimeapi.ImageFsInfoRequest{})
	if err != nil || len(fs.GetImageFilesystems()) != 1 {
		t.Errorf("file system %v, %v", fs, err)
	}
}

func TestServer_ownProgram(t *testing.T) {
	n := newNode(t)
	bin := filepath.Join(n.data, "bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	script := "#!/bin/sh\necho program $0 $@\n"
	if err := os.WriteFile(filepath.Join(bin, "kiwerk-modelserver"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	n.stop()
	n.cfg.BinDir = bin
	n.start()
	sb, sc := n.sandbox("own")
	cfg := shell("")
	cfg.Image, cfg.Command, cfg.Args = &runtimeapi.ImageSpec{Image: "ghcr.io/kiwerk/modelserver:v1"}, nil, []string{"--port", "1"}
	st := n.awaitExit(n.run(sb, sc, cfg))
	if out := n.log(st); out != "program /.kiwerk/bin/kiwerk-modelserver --port 1\n" {
		t.Errorf("output %q", out)
	}
	if st.GetImageRef() != "kiwerk.dev/program/modelserver" {
		t.Errorf("image %v", st.GetImageRef())
	}
}

func TestServer_stats(t *testing.T) {
	n := newNode(t)
	sb, sc := n.sandbox("stats")
	id := n.run(sb, sc, shell(`i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; (i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done); echo ready; sleep 1000`))
	n.ready(id)
	st, err := n.rt.ContainerStats(t.Context(), &runtimeapi.ContainerStatsRequest{ContainerId: id})
	if err != nil {
		t.Fatal(err)
	}
	if cpu, mem := st.GetStats().GetCpu().GetUsageCoreNanoSeconds().GetValue(), st.GetStats().GetMemory().GetWorkingSetBytes().GetValue(); cpu < 1e7 || mem < 1<<18 {
		t.Errorf("cpu %d ns, memory %d bytes", cpu, mem)
	}
	pods, err := n.rt.ListPodSandboxStats(t.Context(), &runtimeapi.ListPodSandboxStatsRequest{})
	if err != nil || len(pods.GetStats()) != 1 || pods.GetStats()[0].GetLinux().GetProcess().GetProcessCount().GetValue() < 2 {
		t.Errorf("pods %v, %v", pods, err)
	}
	list, err := n.rt.ListContainerStats(t.Context(), &runtimeapi.ListContainerStatsRequest{})
	if err != nil || len(list.GetStats()) != 1 {
		t.Errorf("list %v, %v", list, err)
	}
}

func TestServer_ExecSync_timeout(t *testing.T) {
	n := newNode(t)
	sb, sc := n.sandbox("exec")
	id := n.run(sb, sc, shell("echo ready; sleep 1000"))
	_, err := n.rt.ExecSync(t.Context(), &runtimeapi.ExecSyncRequest{ContainerId: id, Cmd: []string{"sleep", "1000"}, Timeout: 1})
	if status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("error %v", err)
	}
	resp, err := n.rt.ExecSync(t.Context(), &runtimeapi.ExecSyncRequest{ContainerId: id, Cmd: []string{"sh", "-c", "sleep 1000 & echo done"}, Timeout: 20})
	if err != nil || string(resp.GetStdout()) != "done\n" {
		t.Errorf("with a child that keeps the output: %v, %v", resp, err)
	}
}

func TestServer_portRange(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	taken := l.Addr().(*net.TCPAddr).Port
	n := newNode(t)
	n.stop()
	n.cfg.Ports = cri.PortRange{First: taken, Last: taken}
	n.start()
	_, err = n.rt.RunPodSandbox(t.Context(), &runtimeapi.RunPodSandboxRequest{Config: &runtimeapi.PodSandboxConfig{
		Metadata: &runtimeapi.PodSandboxMetadata{Name: "p", Namespace: "default", Uid: "u"},
	}})
	if status.Code(err) != codes.ResourceExhausted {
		t.Errorf("error %v", err)
	}
}

// TestServer_load_afterReboot is about files of processes that a restart of the machine has ended.
func TestServer_load_afterReboot(t *testing.T) {
	n := newNode(t)
	before, sc := n.sandbox("before")
	id := n.run(before, sc, shell("echo ready; sleep 1000"))
	n.ready(id)
	n.stop()
	dir := filepath.Join(n.cfg.StateDir, "containers", id)
	r, err := shim.Adopt(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	p, err := os.FindProcess(r.State().PID)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	<-r.Done()
	edit(t, filepath.Join(dir, "shim.json"), "BootID", "another-boot")
	edit(t, filepath.Join(n.cfg.StateDir, "sandboxes", before+".json"), "Holder", "mnt:[1] another-boot")
	n.start()
	if st := n.status(id); st.GetReason() != shim.ReasonMachineRestarted || st.GetExitCode() != 137 || st.GetState() != runtimeapi.ContainerState_CONTAINER_EXITED {
		t.Errorf("container %v", st)
	}
	st, err := n.rt.PodSandboxStatus(t.Context(), &runtimeapi.PodSandboxStatusRequest{PodSandboxId: before})
	if err != nil || st.GetStatus().GetState() != runtimeapi.PodSandboxState_SANDBOX_NOTREADY {
		t.Errorf("pod %v, %v: the kubelet has to make a new sandbox", st, err)
	}
	if got := n.srv.TakenOver(); got != (cri.TakenOver{Lost: 1}) {
		t.Errorf("the start found %+v", got)
	}
	n.stop()
	n.start()
	if got := n.srv.TakenOver(); got != (cri.TakenOver{}) {
		t.Errorf("the second start found %+v", got)
	}
}

// TestServer_load_afterCleanStop: pods that were stopped are no loss.
func TestServer_load_afterCleanStop(t *testing.T) {
	n := newNode(t)
	sb, sc := n.sandbox("stopped")
	n.ready(n.run(sb, sc, shell(untilTerm)))
	if err := n.srv.StopContainers(t.Context()); err != nil {
		t.Fatal(err)
	}
	n.stop()
	edit(t, filepath.Join(n.cfg.StateDir, "sandboxes", sb+".json"), "Holder", "mnt:[1] another-boot")
	n.start()
	if got := n.srv.TakenOver(); got != (cri.TakenOver{}) {
		t.Errorf("the start found %+v", got)
	}
}

// edit changes a field of a record.
func edit(t *testing.T, path, field string, value any) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	record := map[string]any{}
	if err := json.Unmarshal(data, &record); err != nil {
		t.Fatal(err)
	}
	record[field] = value
	if data, err = json.Marshal(record); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestServer_ReopenContainerLog rotates as the kubelet does while the container
// writes as fast as it can: no line is lost, doubled or torn.
func TestServer_ReopenContainerLog(t *testing.T) {
	const lines, rotations = 100_000, 25
	n := newNode(t)
	sb, sc := n.sandbox("rotate")
	id := n.run(sb, sc, shell(fmt.Sprintf("echo ready; seq %d", lines)))
	n.ready(id)
	path := n.status(id).GetLogPath()
	files := []string{}
	for i := range rotations {
		old := fmt.Sprintf("%s.%d", path, i)
		if err := os.Rename(path, old); err != nil {
			t.Fatal(err)
		}
		files = append(files, old)
		_, err := n.rt.ReopenContainerLog(t.Context(), &runtimeapi.ReopenContainerLogRequest{ContainerId: id})
		if status.Code(err) == codes.FailedPrecondition {
			break // it has written all
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	n.awaitExit(id)
	next := 0
	for _, f := range append(files, path) {
		data, err := os.ReadFile(f)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(data)) {
			want := fmt.Sprintf(" stdout F %d\n", next)
			if next == 0 {
				want = " stdout F ready\n"
			}
			if !strings.HasSuffix(line, want) {
				t.Fatalf("%s: %q, expected %q", f, line, want)
			}
			next++
		}
	}
	if next != lines+1 {
		t.Errorf("%d lines, expected %d", next, lines+1)
	}
}

// TestServer_init_rights: a container that may trace pid 1 must not find more rights there than its own kind has.
func TestServer_init_rights(t *testing.T) {
	n := newNode(t)
	sb, sc := n.sandbox("rights")
	cfg := shell("grep -E 'Cap(Prm|Eff)' /proc/1/task/*/status | sort -u -k2; grep CapEff /proc/self/status")
	cfg.Linux = &runtimeapi.LinuxContainerConfig{SecurityContext: &runtimeapi.LinuxContainerSecurityContext{
		Capabilities: &runtimeapi.Capability{AddCapabilities: []string{"SYS_PTRACE"}},
	}}
	out := n.log(n.awaitExit(n.run(sb, sc, cfg)))
	const sysAdmin, sysPtrace = 1 << 21, 1 << 19
	seen := 0
	for line := range strings.Lines(out) {
		f := strings.Fields(line)
		rights, err := strconv.ParseUint(f[len(f)-1], 16, 64)
		if err != nil || rights&sysAdmin != 0 || rights&sysPtrace == 0 {
			t.Errorf("%q, %v", line, err)
		}
		seen++
	}
	if seen < 2 {
		t.Errorf("output %q", out)
	}
}

func TestServer_Status_verbose(t *testing.T) {
	n := newNode(t)
	n.sandbox("one")
	st, err := n.rt.Status(t.Context(), &runtimeapi.StatusRequest{Verbose: true})
	if err != nil {
		t.Fatal(err)
	}
	var info struct {
		StateDir string
		Pods     int
	}
	if err := json.Unmarshal([]byte(st.GetInfo()["config"]), &info); err != nil || info.Pods != 1 || info.StateDir != n.cfg.StateDir {
		t.Errorf("%v, %v", st.GetInfo(), err)
	}
}

func TestServer_CheckpointContainer(t *testing.T) {
	n := newNode(t)
	sb, sc := n.sandbox("checkpoint")
	id := n.run(sb, sc, shell("sleep 1000"))
	for id, want := range map[string]codes.Code{id: codes.Unimplemented, "none": codes.NotFound} {
		if _, err := n.rt.CheckpointContainer(t.Context(), &runtimeapi.CheckpointContainerRequest{ContainerId: id}); status.Code(err) != want {
			t.Errorf("%q: %v, expected %v", id, err, want)
		}
	}
}
