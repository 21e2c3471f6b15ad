//go:build linux

package cri_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/transport/spdy"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	utilexec "k8s.io/utils/exec"
)

// stream connects a stock client to the address of an exec or attach.
func stream(t testing.TB, address string, o remotecommand.StreamOptions) error {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	x, err := remotecommand.NewSPDYExecutor(&rest.Config{}, http.MethodPost, u)
	if err != nil {
		t.Fatal(err)
	}
	return x.StreamWithContext(t.Context(), o)
}

// exec runs a command through the streaming server.
func (n *node) exec(id string, tty bool, in io.Reader, out, errOut io.Writer, cmd ...string) error {
	n.t.Helper()
	resp, err := n.rt.Exec(n.t.Context(), &runtimeapi.ExecRequest{
		ContainerId: id, Cmd: cmd, Tty: tty, Stdin: in != nil, Stdout: true, Stderr: !tty,
	})
	if err != nil {
		n.t.Fatal(err)
	}
	return stream(n.t, resp.GetUrl(), remotecommand.StreamOptions{Stdin: in, Stdout: out, Stderr: errOut, Tty: tty})
}

func TestServer_Exec(t *testing.T) {
	n := newNode(t)
	sb, sc := n.sandbox("exec")
	id := n.run(sb, sc, shell("echo ready; sleep 1000"))
	var out, errOut bytes.Buffer
	err := n.exec(id, false, strings.NewReader("input"), &out, &errOut, "sh", "-c", "cat; echo err >&2; exit 9")
	var code utilexec.ExitError
	if !errors.As(err, &code) || code.ExitStatus() != 9 {
		t.Errorf("error %v", err)
	}
	if out.String() != "input" || errOut.String() != "err\n" {
		t.Errorf("stdout %q, stderr %q", &out, &errOut)
	}
	out.Reset()
	if err := n.exec(id, true, strings.NewReader("word\n"), &out, nil, "sh", "-c", "tty; read x; echo got $x"); err != nil {
		t.Error(err)
	}
	if !strings.Contains(out.String(), "/dev/pts/0") || !strings.Contains(out.String(), "got word") {
		t.Errorf("terminal %q", &out)
	}
	big := strings.Repeat("0123456789abcdef", 1<<17)
	out.Reset()
	if err := n.exec(id, false, strings.NewReader(big), &out, io.Discard, "cat"); err != nil || out.String() != big {
		t.Errorf("%d bytes came back, %v", out.Len(), err)
	}
	if _, err := n.rt.Exec(t.Context(), &runtimeapi.ExecRequest{ContainerId: "none", Cmd: []string{"true"}, Stdout: true}); err == nil {
		t.Error("exec in a container that is not there")
	}
}

// slowReader takes what comes first only after something has been done.
type slowReader struct {
	got    bytes.Buffer
	before func()
}

func (s *slowReader) Write(p []byte) (int, error) {
	if s.got.Len() == 0 {
		s.before()
	}
	return s.got.Write(p)
}

// TestServer_Exec_slowReader takes output long after its process has ended, while another holds the pipe open.
func TestServer_Exec_slowReader(t *testing.T) {
	n := newNode(t)
	sb, sc := n.sandbox("slow")
	id := n.run(sb, sc, shell("echo ready; sleep 1000"))
	out := &slowReader{before: func() {
		wait := []string{"sh", "-c", "touch /tmp/go; until test -e /tmp/done; do sleep .02; done; sleep 1.2"}
		if _, err := n.rt.ExecSync(t.Context(), &runtimeapi.ExecSyncRequest{ContainerId: id, Cmd: wait}); err != nil {
			t.Error(err)
		}
	}}
	code, err := n.srv.ExecTo(t.Context(), id, out, "sh", "-c", "echo first; until test -e /tmp/go; do sleep .02; done; sleep 1000 & echo last; touch /tmp/done")
	if err != nil || code != 0 || out.got.String() != "first\nlast\n" {
		t.Errorf("code %d, %v, output %q", code, err, &out.got)
	}
}

func TestServer_Attach(t *testing.T) {
	n := newNode(t)
	sb, sc := n.sandbox("attach")
	cfg := shell(`while read line; do echo "got $line"; done; exit 4`)
	cfg.Stdin, cfg.StdinOnce = true, true
	id := n.run(sb, sc, cfg)
	resp, err := n.rt.Attach(t.Context(), &runtimeapi.AttachRequest{ContainerId: id, Stdin: true, Stdout: true, Stderr: true})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := stream(t, resp.GetUrl(), remotecommand.StreamOptions{Stdin: strings.NewReader("one\ntwo\n"), Stdout: &out, Stderr: io.Discard}); err != nil {
		t.Error(err)
	}
	if out.String() != "got one\ngot two\n" {
		t.Errorf("output %q", &out)
	}
	if st := n.awaitExit(id); st.GetExitCode() != 4 {
		t.Errorf("status %v", st)
	}
}

// TestServer_PortForward asks for a fixed port, as a manifest has it, of a pod
// that listens on the one it was given, and for one on which nothing listens.
func TestServer_PortForward(t *testing.T) {
	n := newNode(t)
	sb, sc := n.sandbox("forward")
	id := n.run(sb, sc, shell(`exec python3 -c '
import os, socket
s = socket.create_server(("127.0.0.1", int(os.environ["PORT"])))
print("ready", flush=True)
while True:
    c = s.accept()[0]
    c.sendall(c.recv(4).upper())
    c.close()
'`))
	n.ready(id)
	resp, err := n.rt.PortForward(t.Context(), &runtimeapi.PortForwardRequest{PodSandboxId: sb, Port: []int32{8080}})
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(resp.GetUrl())
	if err != nil {
		t.Fatal(err)
	}
	transport, upgrader, err := spdy.RoundTripperFor(&rest.Config{})
	if err != nil {
		t.Fatal(err)
	}
	stop, ready := make(chan struct{}), make(chan struct{})
	dialer := spdy.NewDialer(upgrader, &http.Client{Transport: transport}, http.MethodPost, u)
	forward, err := portforward.New(dialer, []string{"0:8080"}, stop, ready, io.Discard, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		if err := forward.ForwardPorts(); err != nil {
			t.Error(err)
		}
	})
	<-ready
	ports, err := forward.GetPorts()
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", ports[0].Local))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write([]byte("ping")); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil || string(answer) != "PING" {
		t.Errorf("answer %q, %v", answer, err)
	}
	_ = conn.Close()
	close(stop)
	running.Wait()
}
