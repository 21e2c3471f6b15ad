//go:build linux

package systemtest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const kubectlPods = `
apiVersion: v1
kind: Pod
metadata: {name: tools, labels: {app: tools}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: main
    image: busybox
    command: [sh, -c, 'echo first; echo second; exec sleep 100000']
---
apiVersion: v1
kind: Pod
metadata: {name: fails}
spec:
  terminationGracePeriodSeconds: 1
  volumes: [{name: memory, emptyDir: {}}]
  containers:
  - name: main
    image: busybox
    volumeMounts: [{name: memory, mountPath: /memory}]
    command: [sh, -c, 'test -e /memory/failed && exec sleep 100000; touch /memory/failed; echo said; exit 3']
---
apiVersion: v1
kind: Pod
metadata: {name: once}
spec:
  restartPolicy: Never
  containers:
  - name: main
    image: busybox
    stdin: true
    stdinOnce: true
    command: [sh, -c, 'cat; echo closed; exit 4']
---
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: main
    image: python:3
    command: [sh, -c, 'cd /tmp; echo page > index.html; exec python3 -m http.server ${PORT:-8080}']
`

// TestKubectl runs the real kubectl through what people do with it.
func TestKubectl(t *testing.T) {
	t.Parallel()
	eachAccount(t, func(t *testing.T, who account) {
		p := up(t, who, filepath.Join(home(t, who), "data"))
		p.apply(kubectlPods)
		p.kubectl("wait", "--for=condition=Ready", "pod/tools", "pod/once", "pod/web", patience)
		for name, check := range map[string]func(*platform){
			"Logs": checkLogs, "Exec": checkExec, "Terminal": checkTerminal, "Attach": checkAttach, "Run": checkRun,
			"Copy": checkCopy, "PortForward": checkPortForward, "Top": checkTop, "Debug": checkDebug,
		} {
			t.Run(name, func(t *testing.T) {
				own := *p
				own.t = t
				check(&own)
			})
		}
	})
}

// try runs kubectl with an input and returns everything.
func (p *platform) try(in string, args ...string) (out, errs string, code int) {
	p.t.Helper()
	cmd := kiwerk(p.t, p.who, p.dir, append([]string{"kubectl"}, args...)...)
	var o, e bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(in), &o, &e
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		p.t.Fatal(err)
	}
	return o.String(), e.String(), cmd.ProcessState.ExitCode()
}

func checkLogs(p *platform) {
	p.stream(func(s string) bool { return s == "second" }, "logs", "-f", "tools", "-c", "main")
	if out := p.kubectl("logs", "tools", "-c", "main"); out != "first\nsecond" {
		p.t.Errorf("logs: %q", out)
	}
	stamp, line, _ := strings.Cut(p.kubectl("logs", "tools", "-c", "main", "--tail=1", "--timestamps"), " ")
	if _, err := time.Parse(time.RFC3339Nano, stamp); err != nil || line != "second" {
		p.t.Errorf("logs with timestamps: %q %q, %v", stamp, line, err)
	}
	p.kubectl("wait", "--for=jsonpath={.status.containerStatuses[0].restartCount}=1", "pod/fails", patience)
	if out := p.kubectl("logs", "fails", "--previous"); out != "said" {
		p.t.Errorf("previous logs: %q", out)
	}
	until(p.t, "kubectl events shows the start", func() bool {
		return strings.Contains(p.kubectl("events", "--for", "pod/fails"), "Started")
	})
}

func checkExec(p *platform) {
	out, errs, code := p.try("input", "exec", "-i", "-c", "main", "tools", "--", "sh", "-c", "cat; echo bad >&2; exit 7")
	if out != "input" || !strings.HasPrefix(errs, "bad\n") || code != 7 {
		p.t.Errorf("exec: %q, %q, code %d", out, errs, code)
	}
	if _, errs, code := p.try("", "exec", "-c", "main", "tools", "--", "no-such-tool"); code != 1 || !strings.Contains(errs, "not found in PATH") {
		p.t.Errorf("exec of nothing: %q, code %d", errs, code)
	}
}

// checkTerminal types into a shell and changes the size of its window.
func checkTerminal(p *platform) {
	master, slave := terminal(p.t)
	defer master.Close()
	cmd := kiwerk(p.t, p.who, p.dir, "kubectl", "exec", "-it", "-c", "main", "tools", "--", "sh")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr.Setsid, cmd.SysProcAttr.Setctty = true, true
	resize(p.t, master, 33, 111)
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	_ = slave.Close()
	seen := &expecter{t: p.t, r: master}
	seen.await("# ")
	fmt.Fprint(master, "stty size\n")
	seen.await("33 111")
	resize(p.t, master, 22, 99)
	fmt.Fprint(master, "while [ \"$(stty size)\" != '22 99' ]; do sleep .05; done; echo re''sized\n")
	seen.await("resized")
	// What says so is in the foreground already, and gets the signal.
	fmt.Fprint(master, "sh -c \"echo wait''ing; exec sleep 1000\"\n")
	seen.await("waiting")
	fmt.Fprint(master, "\x03exit 5\n")
	err := cmd.Wait()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 5 {
		p.t.Errorf("%v\n%s", err, seen.text)
	}
}

func checkAttach(p *platform) {
	if out, errs, _ := p.try("one\ntwo\n", "attach", "-i", "once"); out != "one\ntwo\nclosed\n" {
		p.t.Errorf("attach: %q\n%s", out, errs)
	}
	p.kubectl("wait", "--for=jsonpath={.status.containerStatuses[0].state.terminated.exitCode}=4", "pod/once", patience)
}

func checkRun(p *platform) {
	out, errs, code := p.try("abc", "run", "interactive", "--image=x", "--restart=Never", "--rm", "-i", "--command", "--", "sh", "-c", "cat; echo .closed")
	if !strings.HasPrefix(out, "abc.closed\n") || code != 0 {
		p.t.Errorf("run -i: %q, %q, code %d", out, errs, code)
	}
	p.kubectl("run", "args", "--image=x", "--restart=Never", "--", "echo", "args", "alone")
	p.kubectl("wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/args", patience)
	if out := p.kubectl("logs", "args"); out != "args alone" {
		p.t.Errorf("args without command: %q", out)
	}
}

func checkCopy(p *platform) {
	dir := home(p.t, p.who)
	from, to := filepath.Join(dir, "from"), filepath.Join(dir, "to")
	data := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	if err := errors.Join(os.WriteFile(from, data, 0o644), os.Chown(from, int(p.who.uid), int(p.who.gid))); err != nil {
		p.t.Fatal(err)
	}
	p.kubectl("cp", "-c", "main", from, "tools:/tmp/there")
	p.kubectl("cp", "-c", "main", "tools:/tmp/there", to)
	if got, err := os.ReadFile(to); err != nil || !bytes.Equal(got, data) {
		p.t.Errorf("%d bytes came back, %v", len(got), err)
	}
}

func checkPortForward(p *platform) {
	cmd := kiwerk(p.t, p.who, p.dir, "kubectl", "port-forward", "pod/web", "0:8080")
	out, err := cmd.StdoutPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	seen := &expecter{t: p.t, r: out}
	local := regexp.MustCompile(`127\.0\.0\.1:(\d+) -> `)
	seen.await(" -> 8080")
	port := local.FindStringSubmatch(seen.text)
	p.kubectl("exec", "web", "--", "sh", "-c", "until python3 -c 'import os, socket; socket.create_connection((\"127.0.0.1\", int(os.environ.get(\"PORT\", 8080))))' 2>/dev/null; do sleep .1; done")
	conn, err := net.Dial("tcp", "127.0.0.1:"+port[1])
	if err != nil {
		p.t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "GET / HTTP/1.0\r\n\r\n")
	if page, err := io.ReadAll(conn); err != nil || !strings.HasSuffix(string(page), "\r\n\r\npage\n") {
		p.t.Errorf("page %q, %v", page, err)
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		p.t.Error(err)
	}
	_ = cmd.Wait() // by the signal
}

func checkTop(p *platform) {
	line := regexp.MustCompile(`(?m)^\S+\s+\d+m\s+(\d+%\s+)?\d+Mi`) // a pod that sleeps may have less than one
	for _, args := range [][]string{{"top", "node"}, {"top", "pod", "-l", "app=tools"}} {
		if out := p.kubectl(args...); !line.MatchString(out) {
			p.t.Errorf("%v:\n%s", args, out)
		}
	}
}

func checkDebug(p *platform) {
	p.kubectl("debug", "tools", "--image=busybox", "--container=look", "--", "sh", "-c", "echo from the side")
	const ended = "--for=jsonpath={.status.ephemeralContainerStatuses[0].state.terminated.reason}=Completed"
	p.kubectl("wait", ended, "pod/tools", patience)
	if out := p.kubectl("logs", "tools", "-c", "look"); out != "from the side" {
		p.t.Errorf("debug: %q", out)
	}
	const within = "tr '\\0' ' ' < /proc/1/cmdline | cut -d' ' -f1,2; until f=/proc/$(pgrep -of 'http[.]server')/root/tmp/index.html; test -s $f; do sleep .1; done; cat $f"
	p.kubectl("debug", "web", "--image=busybox", "--container=within", "--target=main", "--", "sh", "-c", within)
	p.kubectl("wait", ended, "pod/web", patience)
	if out := p.kubectl("logs", "web", "-c", "within"); out != "kiwerk-agent init\npage" {
		p.t.Errorf("debug --target: %q", out)
	}
}

// expecter reads until something has come.
type expecter struct {
	t    *testing.T
	r    io.Reader
	text string
	seen int
}

func (e *expecter) await(want string) {
	e.t.Helper()
	late := time.AfterFunc(callLimit, func() { e.t.Errorf("%q does not come:\n%s", want, e.text) })
	defer late.Stop()
	buf := make([]byte, 4096)
	for {
		if i := strings.Index(e.text[e.seen:], want); i >= 0 {
			e.seen += i + len(want)
			return
		}
		n, err := e.r.Read(buf)
		if err != nil {
			e.t.Fatalf("%q did not come: %v\n%s", want, err, e.text)
		}
		e.text += string(buf[:n])
	}
}

// terminal makes a pseudo terminal.
func terminal(t *testing.T) (master, slave *os.File) {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	slave, err = os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return os.NewFile(uintptr(fd), "/dev/ptmx"), slave
}

func resize(t *testing.T, master *os.File, rows, columns uint16) {
	t.Helper()
	if err := unix.IoctlSetWinsize(int(master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: columns}); err != nil {
		t.Fatal(err)
	}
}
