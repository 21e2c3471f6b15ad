package kwtest

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

// EnvBinDir names the folder of the built programs; without it the bin folder of the repository is used.
const EnvBinDir = "KIWERK_BIN_DIR"

const (
	startTimeout = 4 * time.Minute
	stopTimeout  = 2 * time.Minute
	dirPrefix    = "kwtest-"
)

// controlPlane is the child that the tests of one package share.
type controlPlane struct {
	dir        string
	kubeconfig string
	config     *rest.Config
	stdin      io.Closer
	cmd        *exec.Cmd
}

var shared = struct {
	sync.Mutex
	started bool
	plane   *controlPlane
	err     error
}{}

// Main runs the tests of a package and stops the control plane afterwards.
func Main(m *testing.M) {
	code := m.Run()
	if err := stopShared(); err != nil {
		fmt.Fprintln(os.Stderr, "kwtest:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// Config is a client configuration with all rights on the shared control plane.
func Config(tb testing.TB) *rest.Config {
	tb.Helper()
	return rest.CopyConfig(plane(tb).config)
}

// Kubeconfig is the path of a kubeconfig file of the shared control plane.
func Kubeconfig(tb testing.TB) string {
	tb.Helper()
	return plane(tb).kubeconfig
}

func plane(tb testing.TB) *controlPlane {
	tb.Helper()
	shared.Lock()
	defer shared.Unlock()
	if !shared.started {
		shared.started = true
		shared.plane, shared.err = start()
	}
	if shared.err != nil {
		tb.Fatalf("control plane for tests: %v", shared.err)
	}
	return shared.plane
}

func stopShared() error {
	shared.Lock()
	defer shared.Unlock()
	if shared.plane == nil {
		return nil
	}
	return shared.plane.stop()
}

// Program is the path of one of the built programs.
func Program(name string) (string, error) {
	dir := os.Getenv(EnvBinDir)
	if dir == "" {
		root, err := Root()
		if err != nil {
			return "", err
		}
		dir = filepath.Join(root, "bin")
	}
	path := filepath.Join(dir, name)
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("%s has not been built; run: CGO_ENABLED=0 GOFLAGS=-trimpath go build -o bin/ ./cmd/%s", path, name)
	}
	return path, nil
}

// Root is the folder of the repository: the first one upwards with a go.mod.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for d := dir; ; d = filepath.Dir(d) {
		if _, err := os.Stat(filepath.Join(d, "go.mod")); err == nil {
			return d, nil
		}
		if d == filepath.Dir(d) {
			return "", fmt.Errorf("no go.mod above %s", dir)
		}
	}
}

func start() (*controlPlane, error) {
	// Without a logger controller-runtime complains on the terminal. A test that wants one sets it before.
	log.SetLogger(logr.Discard())
	program, err := Program("kiwerk")
	if err != nil {
		return nil, err
	}
	removeStale(os.TempDir())
	dir := filepath.Join(os.TempDir(), dirPrefix+strconv.Itoa(os.Getpid()))
	if err = os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	p := &controlPlane{dir: dir}
	p.cmd = exec.Command(program, "internal", "control-plane", "--data-dir", dir)
	p.cmd.Stderr = os.Stderr
	// Ctrl-C goes to the whole process group; the child is to end after the tests, through its stdin.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdin, err := p.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	p.stdin = stdin
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err = p.cmd.Start(); err != nil {
		return nil, err
	}
	if p.kubeconfig, err = awaitReady(stdout); err != nil {
		return nil, errors.Join(fmt.Errorf("%s internal control-plane: %w; its log lies in %s", program, err, dir), p.cmd.Process.Kill(), p.cmd.Wait())
	}
	if p.config, err = clientcmd.BuildConfigFromFlags("", p.kubeconfig); err != nil {
		return nil, errors.Join(err, p.stop())
	}
	// Tests ask often and at once; the limits of client-go are meant for others.
	p.config.QPS = -1
	return p, nil
}

// awaitReady reads the line that the child prints when it is ready.
func awaitReady(stdout io.Reader) (kubeconfig string, err error) {
	type answer struct {
		line []byte
		err  error
	}
	got := make(chan answer, 1)
	go func() {
		line, err := bufio.NewReader(stdout).ReadBytes('\n')
		got <- answer{line, err}
	}()
	timer := time.NewTimer(startTimeout)
	defer timer.Stop()
	select {
	case a := <-got:
		if a.err != nil {
			return "", fmt.Errorf("ended before it was ready: %w", a.err)
		}
		var ready struct{ Kubeconfig, Address string }
		if err := json.Unmarshal(a.line, &ready); err != nil {
			return "", fmt.Errorf("printed %q instead of its address: %w", a.line, err)
		}
		return ready.Kubeconfig, nil
	case <-timer.C:
		return "", fmt.Errorf("not ready after %v", startTimeout)
	}
}

func (p *controlPlane) stop() error {
	p.stdin.Close()                                                       // The signal; the child tells by its end.
	timer := time.AfterFunc(stopTimeout, func() { p.cmd.Process.Kill() }) //nolint:errcheck // It has ended by itself then.
	defer timer.Stop()
	return errors.Join(p.cmd.Wait(), os.RemoveAll(p.dir))
}

// removeStale clears what killed test programs have left.
func removeStale(tmp string) {
	entries, err := os.ReadDir(tmp)
	if err != nil {
		return
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(strings.TrimPrefix(e.Name(), dirPrefix))
		if !strings.HasPrefix(e.Name(), dirPrefix) || err != nil {
			continue
		}
		if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			os.RemoveAll(filepath.Join(tmp, e.Name())) //nolint:errcheck // Another test program may do the same; what stays is a temporary folder.
		}
	}
}
