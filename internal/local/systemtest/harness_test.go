//go:build linux

package systemtest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/kiwerk/kiwerk/internal/kwtest"
	"github.com/kiwerk/kiwerk/internal/kwtest/running"
)

// Limits are generous: the machine may be busy with other tests.
const (
	startLimit = 4 * time.Minute
	callLimit  = 6 * time.Minute
	// patience is how long kubectl waits for what should happen soon.
	patience = "--timeout=5m"
)

// account is who runs a platform.
type account struct {
	name     string
	uid, gid uint32
}

func (a account) attr() *syscall.SysProcAttr {
	s := &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if int(a.uid) != os.Geteuid() {
		s.Credential = &syscall.Credential{Uid: a.uid, Gid: a.gid}
	}
	return s
}

// accounts are all who a test is run as: root runs both halves.
func accounts(t *testing.T) []account {
	t.Helper()
	me := account{"User", uint32(os.Geteuid()), uint32(os.Getegid())}
	if os.Geteuid() != 0 {
		t.Logf("only the half of an ordinary user is run; the other one: sudo -E go test ./internal/local/systemtest")
		return []account{me}
	}
	me.name = "Root"
	return []account{me, ordinary(t, running.Ordinary, "User")}
}

// eachAccount runs f as root and as an ordinary user, side by side: most of a test is waiting.
func eachAccount(t *testing.T, f func(t *testing.T, who account)) {
	for _, who := range accounts(t) {
		t.Run(who.name, func(t *testing.T) {
			t.Parallel()
			f(t, who)
		})
	}
}

// ordinary finds or makes a user; only root can.
func ordinary(t *testing.T, login, name string) account {
	t.Helper()
	u, err := running.Account(login)
	if err != nil {
		t.Fatal(err)
	}
	uid, _ := strconv.ParseUint(u.Uid, 10, 32)
	gid, _ := strconv.ParseUint(u.Gid, 10, 32)
	return account{name, uint32(uid), uint32(gid)}
}

// programs are the built ones in a folder that every user can read.
var programs = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "kiwerk-bin-")
	if err != nil {
		return "", err
	}
	for _, name := range []string{"kiwerk", "kiwerk-agent", "kiwerk-nvidia-smi"} {
		from, err := kwtest.Program(name)
		if err != nil {
			return dir, err
		}
		if err := running.Link(from, filepath.Join(dir, name)); err != nil {
			return dir, err
		}
	}
	return dir, os.Chmod(dir, 0o755)
})

func TestMain(m *testing.M) {
	code := m.Run()
	if dir, _ := programs(); dir != "" {
		_ = os.RemoveAll(dir)
	}
	os.Exit(code)
}

// home is a folder of the account, removed after the test.
func home(t *testing.T, who account) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "kiwerk-system-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := errors.Join(os.Chown(dir, int(who.uid), int(who.gid)), os.Chmod(dir, 0o755)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// kiwerk is a call of the program as an account.
func kiwerk(t *testing.T, who account, dataDir string, args ...string) *exec.Cmd {
	t.Helper()
	bin, err := programs()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(bin, "kiwerk"), append([]string{"--data-dir", dataDir}, args...)...)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "HOME=" + filepath.Dir(dataDir), "LANG=C.UTF-8"}
	cmd.SysProcAttr = who.attr()
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = callLimit
	return cmd
}

// call runs a command to its end.
func call(t *testing.T, who account, dataDir string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	cmd := kiwerk(t, who, dataDir, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	timer := time.AfterFunc(callLimit, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("kiwerk %v: %v", args, err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// platform is a running `kiwerk up`.
type platform struct {
	t     *testing.T
	who   account
	dir   string
	cmd   *exec.Cmd
	out   *transcript
	ended chan error
	run   runState
	// groups are the cgroups that notesGroups has found.
	groups map[string]string
}

// runState is what the launcher writes for status and down.
type runState struct {
	Launcher, Daemon                           int
	Address, APIServer, RuntimeDir, Kubeconfig string
}

// transcript collects output and tells when a line has come.
type transcript struct {
	mu   sync.Mutex
	text strings.Builder
}

func (o *transcript) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// up starts a platform and waits until it is ready.
func up(t *testing.T, who account, dir string, args ...string) *platform {
	t.Helper()
	p := &platform{t: t, who: who, dir: dir, out: &transcript{}, ended: make(chan error, 1)}
	p.cmd = kiwerk(t, who, dir, append([]string{"up", "--listen", "127.0.0.1:0"}, args...)...)
	r, w := io.Pipe()
	p.cmd.Stderr = w
	ready := make(chan struct{})
	go p.follow(r, ready)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		err := p.cmd.Wait()
		_ = w.Close()
		p.ended <- err
	}()
	timer := time.NewTimer(startLimit)
	defer timer.Stop()
	select {
	case <-ready:
	case err := <-p.ended:
		t.Fatalf("kiwerk up ended: %v\n%s\n%s", err, p.out, p.logs())
	case <-timer.C:
		_ = p.cmd.Process.Kill()
		t.Fatalf("kiwerk up was not ready after %s\n%s\n%s", startLimit, p.out, p.logs())
	}
	b, err := os.ReadFile(filepath.Join(dir, "run.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &p.run); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.cleanUp)
	return p
}

func (p *platform) follow(r io.Reader, ready chan<- struct{}) {
	for s := bufio.NewScanner(r); s.Scan(); {
		p.out.mu.Lock()
		p.out.text.WriteString(s.Text() + "\n")
		p.out.mu.Unlock()
		if strings.HasPrefix(s.Text(), "Ready in") {
			close(ready)
		}
	}
}

// cleanUp leaves nothing behind, whatever the test has killed.
func (p *platform) cleanUp() {
	if p.t.Failed() {
		p.t.Logf("output:\n%s\n%s", p.out, p.logs())
	}
	cmd := exec.Command(p.cmd.Path, "--data-dir", p.dir, "down")
	cmd.Env, cmd.Dir, cmd.SysProcAttr = p.cmd.Env, "/", p.who.attr()
	if out, err := cmd.CombinedOutput(); err != nil {
		p.t.Errorf("kiwerk down: %v\n%s", err, out)
	}
}

// logs is the end of the platform's log.
func (p *platform) logs() string {
	b, err := os.ReadFile(filepath.Join(p.dir, "logs", "kiwerk.log"))
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return strings.Join(lines[max(0, len(lines)-30):], "\n")
}

// wait waits for the launcher's end and returns its exit code.
func (p *platform) wait() int {
	p.t.Helper()
	timer := time.NewTimer(callLimit)
	defer timer.Stop()
	select {
	case <-p.ended:
		p.ended <- nil
		return p.cmd.ProcessState.ExitCode()
	case <-timer.C:
		p.t.Fatalf("kiwerk up did not end\n%s", p.out)
		return -1
	}
}

// kubectl runs the built-in kubectl and returns its output.
func (p *platform) kubectl(args ...string) string {
	p.t.Helper()
	out, errs, code := call(p.t, p.who, p.dir, append([]string{"kubectl"}, args...)...)
	if code != 0 {
		p.t.Fatalf("kubectl %s: code %d\n%s%s", strings.Join(args, " "), code, out, errs)
	}
	return strings.TrimSpace(out)
}

// apply sends a manifest.
func (p *platform) apply(manifest string) {
	p.t.Helper()
	cmd := kiwerk(p.t, p.who, p.dir, "kubectl", "apply", "-f", "-")
	cmd.Stdin = strings.NewReader(manifest)
	if out, err := cmd.CombinedOutput(); err != nil {
		p.t.Fatalf("kubectl apply: %v\n%s\n%s", err, out, manifest)
	}
}

// logLine follows the log of a pod until a line is accepted.
func (p *platform) logLine(pod string, accept func(string) bool) string {
	p.t.Helper()
	return p.stream(accept, "logs", "-f", pod, "--pod-running-timeout=5m")
}

// stream runs kubectl until it prints a line that is accepted.
func (p *platform) stream(accept func(string) bool, args ...string) string {
	p.t.Helper()
	cmd := kiwerk(p.t, p.who, p.dir, append([]string{"kubectl"}, args...)...)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	timer := time.AfterFunc(callLimit, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
	}()
	last := ""
	for s := bufio.NewScanner(stdout); s.Scan(); {
		if last = s.Text(); accept(last) {
			return last
		}
	}
	p.t.Fatalf("kubectl %s: no line was accepted; the last one was %q", strings.Join(args, " "), last)
	return ""
}

// token is the secret of the data directory.
func (p *platform) token() string {
	p.t.Helper()
	b, err := os.ReadFile(filepath.Join(p.dir, "token"))
	if err != nil {
		p.t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

// request asks the platform; change may set headers.
func (p *platform) request(method, path string, change func(*http.Request)) (status int, body string) {
	p.t.Helper()
	r, err := http.NewRequestWithContext(p.t.Context(), method, "http://"+p.run.Address+path, http.NoBody)
	if err != nil {
		p.t.Fatal(err)
	}
	if change != nil {
		change(r)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func bearer(token string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }
}

func ticker(name string) string {
	return fmt.Sprintf(`
apiVersion: v1
kind: Pod
metadata: {name: %s}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 1
  containers:
  - name: main
    image: busybox
    command: [sh, -c, 'i=0; while :; do i=$((i+1)); echo $i $(sha256sum < /var/run/secrets/kubernetes.io/serviceaccount/token); sleep .2; done']
`, name)
}
