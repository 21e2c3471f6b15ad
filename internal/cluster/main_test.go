//go:build linux

package cluster_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/kiwerk/kiwerk/internal/cluster"
	"github.com/kiwerk/kiwerk/internal/cluster/agenttest"
	"github.com/kiwerk/kiwerk/internal/cluster/cri"
	"github.com/kiwerk/kiwerk/internal/cluster/kubectl"
	"github.com/kiwerk/kiwerk/internal/cluster/node"
)

const (
	envRole = "KIWERK_TEST_ROLE"
	envData = "KIWERK_TEST_DATA"
	envRun  = "KIWERK_TEST_RUN"

	roleControlPlane = "control-plane"
	roleNode         = "node"

	startTimeout = 4 * time.Minute
	readyFD      = 3
)

// TestMain also plays the processes that run a cluster: Kubernetes starts at
// most once in a process, so each start of a test is one of its own.
func TestMain(m *testing.M) {
	switch os.Getenv(envRole) {
	case roleControlPlane:
		exit(cluster.RunControlPlane(context.Background(), os.Args[1:], os.Stdin, os.Stdout))
	case roleNode:
		exit(runNode(os.Getenv(envData), os.Getenv(envRun)))
	default:
		// Without a logger controller-runtime complains on the terminal.
		log.SetLogger(logr.Discard())
		agenttest.MainOutside(m)
	}
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// TestAsOrdinaryUser runs all tests of the package again without privileges.
func TestAsOrdinaryUser(t *testing.T) { agenttest.AsUser(t) }

// ready is what a cluster prints when it can be used.
type ready struct{ Kubeconfig, Address string }

func readReady(t *testing.T, r io.Reader) ready {
	t.Helper()
	line := make(chan []byte, 1)
	go func() {
		b, err := bufio.NewReader(r).ReadBytes('\n')
		if err != nil {
			b = nil
		}
		line <- b
	}()
	select {
	case b := <-line:
		var got ready
		if err := json.Unmarshal(b, &got); err != nil {
			t.Fatalf("the cluster ended before it was ready (it printed %q)", b)
		}
		return got
	case <-time.After(startTimeout):
		t.Fatalf("the cluster was not ready after %v", startTimeout)
		return ready{}
	}
}

// plane is a control plane in a child process.
type plane struct {
	ready
	cmd    *exec.Cmd
	stdin  io.Closer
	stderr *strings.Builder
	tmp    string
}

func startPlane(t *testing.T, dir string) *plane {
	t.Helper()
	tmp, err := os.MkdirTemp("", "kw") //nolint:usetesting // Short, because sockets lie below it.
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(tmp) })
	cmd := exec.Command("/proc/self/exe", "--data-dir", dir)
	cmd.Env = append(os.Environ(), envRole+"="+roleControlPlane, "TMPDIR="+tmp)
	stderr := &strings.Builder{}
	cmd.Stderr = stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &plane{cmd: cmd, stdin: stdin, stderr: stderr, tmp: tmp}
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			p.stop(t)
		}
	})
	p.ready = readReady(t, stdout)
	return p
}

// stop closes the child's stdin and wants it to end well.
func (p *plane) stop(t *testing.T) {
	t.Helper()
	p.stdin.Close()
	p.wait(t)
}

func (p *plane) wait(t *testing.T) {
	t.Helper()
	kill := time.AfterFunc(startTimeout, func() { p.cmd.Process.Kill() })
	defer kill.Stop()
	if err := p.cmd.Wait(); err != nil {
		t.Errorf("control plane: %v", err)
	}
	// Whatever the components have to say belongs into the log.
	if said := p.stderr.String(); said != "" {
		t.Errorf("the control plane wrote to the terminal:\n%s", said)
	}
}

func newClient(t *testing.T, kubeconfig string) client.WithWatch {
	t.Helper()
	cfg, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	cfg.QPS = -1
	c, err := client.NewWithWatch(cfg, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// kubectlRun runs the linked kubectl and returns what it printed.
func kubectlRun(t *testing.T, kubeconfig string, args ...string) (code int, out, errOut string) {
	t.Helper()
	var o, e strings.Builder
	code = kubectl.Run(t.Context(), kubeconfig, args, strings.NewReader(""), &o, &e)
	return code, o.String(), e.String()
}

// mustKubectl wants success.
func mustKubectl(t *testing.T, kubeconfig string, args ...string) string {
	t.Helper()
	code, out, errOut := kubectlRun(t, kubeconfig, args...)
	if code != 0 {
		t.Fatalf("kubectl %s: exit code %d: %s%s", strings.Join(args, " "), code, out, errOut)
	}
	return out
}

// runNode is a whole cluster with the process runtime, as the daemon runs it.
func runNode(data, run string) (err error) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	out, err := os.OpenFile(filepath.Join(data, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	logger := slog.New(slog.NewJSONHandler(out, nil))
	c, err := cluster.New(cluster.Config{
		DataDir: data, RuntimeDir: run, CRISocket: filepath.Join(run, "cri.sock"), Logger: logger,
		Ports: node.PortSourceFunc(func(ctx context.Context) <-chan node.Port { return forward(ctx, criPorts) }),
	})
	if err != nil {
		return err
	}
	rt, err := cri.New(cri.Config{
		StateDir: filepath.Join(data, "cri"), RuntimeDir: run, AgentPath: agenttest.Agent(),
		Masks: []string{data, run}, VolumeDirs: []string{cluster.DefaultKubeletDir, filepath.Join(data, "volumes")},
		PodLogsDir: filepath.Join(data, "logs", "pods"),
		APIAddress: c.APIAddress(), NodeIP: c.NodeIP().String(), Logger: logger, Clock: clock.RealClock{},
	})
	if err != nil {
		return err
	}
	criPorts = rt
	if err = rt.Start(ctx); err != nil {
		return err
	}
	if err = c.Start(ctx); err != nil {
		return err
	}
	kubeconfig := filepath.Join(data, "kubeconfig")
	if err = c.WriteKubeconfig(kubeconfig); err != nil {
		return err
	}
	if err = json.NewEncoder(os.NewFile(readyFD, "ready")).Encode(ready{kubeconfig, c.APIAddress()}); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
	case <-c.Done():
	}
	stopping, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	return errors.Join(c.Err(), c.Stop(stopping), rt.Stop(stopping))
}

// criPorts is set before the cluster asks for ports.
var criPorts *cri.Server

func forward(ctx context.Context, rt *cri.Server) <-chan node.Port {
	out := make(chan node.Port)
	go func() {
		defer close(out)
		for p := range rt.WatchPorts(ctx) {
			select {
			case out <- node.Port(p):
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}

// dialable tells whether something listens at address.
func dialable(address string) bool {
	c, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return false
	}
	c.Close()
	return true
}
