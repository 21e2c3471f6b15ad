package alone

import (
	"errors"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Server is `kiwerk tracking serve` on one address, however often it is killed.
type Server struct {
	// URL is where it answers.
	URL string

	tb    testing.TB
	dir   string
	flags []string

	mu    sync.Mutex
	cmd   *exec.Cmd
	ended chan error // how cmd ended
}

// Start returns when the server answers; without a database it has one of
// SQLite. It has the test's environment and further flags, and ends with the
// test.
func Start(tb testing.TB, database string, flags ...string) *Server {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		tb.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(address)
	s := &Server{URL: "http://" + address, tb: tb, dir: tb.TempDir()}
	if database == "" {
		database = "sqlite:///" + filepath.Join(s.dir, "tracking.db")
	}
	s.flags = append([]string{
		"tracking", "serve", "--host", "127.0.0.1", "--port", port,
		"--backend-store-uri", database, "--artifacts-destination", filepath.Join(s.dir, "artifacts"),
	}, flags...)
	s.Restart()
	tb.Cleanup(func() {
		if err := s.end(syscall.SIGTERM); err != nil && !strings.Contains(err.Error(), "signal: terminated") {
			tb.Errorf("the server did not end well: %v\n%s", err, s.log())
		}
	})
	return s
}

// program is the built kiwerk: that of KIWERK_BIN_DIR or of the repository.
func program() (string, error) {
	if dir := os.Getenv("KIWERK_BIN_DIR"); dir != "" {
		return filepath.Abs(filepath.Join(dir, "kiwerk"))
	}
	root, err := filepath.Abs(".")
	for err == nil {
		if _, err := os.Stat(filepath.Join(root, "go.mod")); err == nil {
			return filepath.Join(root, "bin", "kiwerk"), nil
		}
		if root == filepath.Dir(root) {
			return "", errors.New("no go.mod above the test")
		}
		root = filepath.Dir(root)
	}
	return "", err
}

// Restart starts a killed server again and returns when it answers.
func (s *Server) Restart() {
	s.tb.Helper()
	bin, err := program()
	if err != nil {
		s.tb.Fatal(err)
	}
	log, err := os.OpenFile(filepath.Join(s.dir, "server.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		s.tb.Fatal(err)
	}
	defer func() { _ = log.Close() }() // the child has its own
	cmd := exec.Command(bin, s.flags...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.dir, log, log
	endsWithTest(cmd)
	if err := cmd.Start(); err != nil {
		s.tb.Fatalf("start the server (make build makes it): %v", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	s.mu.Lock()
	s.cmd, s.ended = cmd, ended
	s.mu.Unlock()
	s.Await()
}

// Await returns when the server is well.
func (s *Server) Await() {
	s.tb.Helper()
	deadline := time.After(time.Minute)
	for {
		if resp, err := http.Get(s.URL + "/health"); err == nil {
			_ = resp.Body.Close() // nothing is read
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case err := <-s.ended:
			s.ended <- err
			s.tb.Fatalf("the server has ended: %v\n%s", err, s.log())
		case <-deadline:
			s.tb.Fatalf("the server does not answer\n%s", s.log())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func (s *Server) end(sig syscall.Signal) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	err := <-s.ended
	s.ended <- err
	return err
}

// Kill ends the server as a crash would.
func (s *Server) Kill() {
	s.tb.Helper()
	var exit *exec.ExitError
	if err := s.end(syscall.SIGKILL); !errors.As(err, &exit) {
		s.tb.Fatalf("kill: %v", err)
	}
}

func (s *Server) log() string {
	b, err := os.ReadFile(filepath.Join(s.dir, "server.log"))
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-3000):])
}
