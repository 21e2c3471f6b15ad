//go:build linux

package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kiwerk/kiwerk/internal/cluster/agenttest"
	"github.com/kiwerk/kiwerk/internal/cluster/cgroup"
	"github.com/kiwerk/kiwerk/internal/cluster/cri"
	"github.com/kiwerk/kiwerk/internal/cluster/holder"
	"github.com/kiwerk/kiwerk/internal/kube"
	"github.com/kiwerk/kiwerk/internal/kwtest"
)

// cell is a whole cluster behind a holder, as `kiwerk up` runs it.
type cell struct {
	ready
	data, run string
	hold      *holder.Client
}

func newCell(t *testing.T) *cell {
	t.Helper()
	run, err := os.MkdirTemp("", "kw") //nolint:usetesting // Short, because sockets lie in it.
	if err != nil {
		t.Fatal(err)
	}
	c := &cell{data: t.TempDir(), run: run}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
		defer cancel()
		hold, err := holder.Connect(run)
		if err == nil {
			err = hold.Shutdown(ctx)
		} else if errors.Is(err, holder.ErrNotRunning) {
			err = nil
		}
		// The daemon of these tests ends without its clean end, which would remove them.
		groups, savedErr := cgroup.Saved(filepath.Join(c.data, "cri", cri.CgroupsFile))
		if err = errors.Join(err, os.RemoveAll(run), savedErr, groups.Remove()); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("errors in the log:\n%s", logErrors(filepath.Join(c.data, "log")))
		}
	})
	c.start(t)
	return c
}

// logErrors are the last lines of a log that tell of errors.
func logErrors(path string) string {
	const last = 20
	data, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	var lines []string
	for line := range strings.Lines(string(data)) {
		if strings.Contains(line, `"level":"ERROR"`) {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines[max(0, len(lines)-last):], "")
}

// start starts the daemon; a holder that still runs is used again.
func (c *cell) start(t *testing.T) {
	t.Helper()
	log, err := os.OpenFile(filepath.Join(c.data, "hold.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	c.hold, err = holder.Ensure(t.Context(), holder.Options{AgentPath: agenttest.Agent(), RuntimeDir: c.run, DataDir: c.data, Log: log})
	if err != nil {
		out, _ := os.ReadFile(log.Name())
		t.Fatalf("%v\n%s", err, out)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	env := slices.DeleteFunc(os.Environ(), func(e string) bool { return strings.HasPrefix(e, envRole+"=") })
	env = append(env, envRole+"="+roleNode, envData+"="+c.data, envRun+"="+c.run)
	_, err = c.hold.StartDaemon(t.Context(), holder.Command{Path: self, Args: []string{"kiwerk"}, Env: env, Dir: "/", Stderr: os.Stderr}, []*os.File{w})
	if err = errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	c.ready = readReady(t, r)
}

// kill ends the daemon as a crash would and starts the next one.
func (c *cell) killAndStart(t *testing.T) {
	t.Helper()
	if err := c.hold.Close(); err != nil {
		t.Fatal(err)
	}
	c.start(t)
}

func shell(ns, name, script string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name},
		Spec: corev1.PodSpec{RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{
			Name: "main", Image: "busybox", Command: []string{"sh", "-c", script},
		}}},
	}
}

func succeeded(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodSucceeded }

func isReady(p *corev1.Pod) bool {
	return slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// One cluster for all sub-tests; the last ones kill it.
func TestCluster_withNode(t *testing.T) {
	cell := newCell(t)
	c := newClient(t, cell.Kubeconfig)
	t.Run("NodeHasAddress", func(t *testing.T) {
		var nodes corev1.NodeList
		if err := c.List(t.Context(), &nodes); err != nil {
			t.Fatal(err)
		}
		if len(nodes.Items) != 1 || len(nodes.Items[0].Status.Addresses) != 2 {
			t.Fatalf("want one node with an address and a name: %+v", nodes.Items)
		}
	})
	t.Run("PodRunsAndLogs", func(t *testing.T) {
		pod := shell("default", "hello", "echo port=$PORT api=$KUBERNETES_SERVICE_HOST:$KUBERNETES_SERVICE_PORT")
		if err := c.Create(t.Context(), pod); err != nil {
			t.Fatal(err)
		}
		kwtest.WaitFor(t, c, pod, succeeded)
		logs := mustKubectl(t, cell.Kubeconfig, "logs", "hello")
		if want := fmt.Sprintf("port=%s api=%s\n", pod.Annotations[kube.PortAnnotation], cell.Address); logs != want {
			t.Errorf("the pod said %q, want %q", logs, want)
		}
	})
	t.Run("EventsSayWhatIsSo", func(t *testing.T) {
		for _, reason := range []string{"MissingClusterDNS", "Pulling", "Pulled"} {
			if out := mustKubectl(t, cell.Kubeconfig, "get", "events", "--field-selector", "reason="+reason, "-o", "name"); out != "" {
				t.Errorf("events of %s, which means nothing here: %s", reason, out)
			}
		}
		kwtest.Eventually(t, func() error {
			if out := mustKubectl(t, cell.Kubeconfig, "get", "events", "--field-selector", "reason=Started", "-o", "name"); out == "" {
				return errors.New("no event tells of a started container")
			}
			return nil
		})
	})
	t.Run("VolumeIsShared", func(t *testing.T) { volumeIsShared(t, cell, c) })
	t.Run("RestrictedPods", func(t *testing.T) { restrictedPods(t, cell, c) })
	t.Run("HostileSubPaths", func(t *testing.T) { hostileSubPaths(t, c) })
	t.Run("LimitsAreKept", func(t *testing.T) { limitsAreKept(t, cell, c) })

	long := shell("default", "long", "echo started; sleep 1000")
	if err := c.Create(t.Context(), long); err != nil {
		t.Fatal(err)
	}
	kwtest.WaitFor(t, c, long, isReady)
	t.Run("Exec", func(t *testing.T) {
		if out := mustKubectl(t, cell.Kubeconfig, "exec", "long", "--", "sh", "-c", "echo $((6*7))"); out != "42\n" {
			t.Errorf("exec printed %q", out)
		}
	})
	t.Run("CrashOfTheDaemonIsNotSeenByPods", func(t *testing.T) {
		before := long.Status.ContainerStatuses[0].ContainerID
		cell.killAndStart(t)
		c := newClient(t, cell.Kubeconfig)
		// The node reports itself ready a moment before the kubelet has seen its pods.
		kwtest.Eventually(t, func() error {
			code, out, errOut := kubectlRun(t, cell.Kubeconfig, "exec", "long", "--", "echo", "alive")
			if code != 0 || out != "alive\n" {
				return fmt.Errorf("exec: exit code %d: %s%s", code, out, errOut)
			}
			return nil
		})
		kwtest.WaitFor(t, c, long, isReady)
		got := long.Status.ContainerStatuses[0]
		if got.ContainerID != before || got.RestartCount != 0 {
			t.Errorf("container %s with %d restarts, want %s untouched", got.ContainerID, got.RestartCount, before)
		}
	})
}

func volumeIsShared(t *testing.T, cell *cell, c client.WithWatch) {
	t.Helper()
	pvc := claim("default", "shared")
	if err := c.Create(t.Context(), pvc); err != nil {
		t.Fatal(err)
	}
	for name, script := range map[string]string{"writer": "echo kept > /data/f", "reader": "until cat /data/f; do sleep 0.1; done"} {
		pod := shell("default", name, script)
		pod.Spec.Volumes = []corev1.Volume{{Name: "d", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: pvc.Name}}}}
		pod.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "d", MountPath: "/data"}}
		if err := c.Create(t.Context(), pod); err != nil {
			t.Fatal(err)
		}
	}
	reader := shell("default", "reader", "")
	kwtest.WaitFor(t, c, reader, succeeded)
	if logs := mustKubectl(t, cell.Kubeconfig, "logs", "reader"); !strings.HasSuffix(logs, "kept\n") {
		t.Errorf("the reader saw %q", logs)
	}
}

// How long a job takes is measured in bench; here the machine may be busy.
const jobPatience = 2 * time.Minute

func TestCluster_twoSideBySide(t *testing.T) {
	first, second := newCell(t), newCell(t)
	for _, cell := range []*cell{first, second} {
		begun := time.Now()
		mustKubectl(t, cell.Kubeconfig, "create", "job", "one", "--image=busybox", "--", "true")
		mustKubectl(t, cell.Kubeconfig, "wait", "--for=condition=complete", "job/one", "--timeout="+jobPatience.String())
		t.Logf("first job: %v", time.Since(begun))
	}
}
