package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// Server is a running PostgreSQL.
type Server struct {
	dir    string
	bin    string
	owner  *syscall.Credential
	args   []string
	cmd    *exec.Cmd
	exited chan struct{}
}

// errMissing is why tests are skipped.
var errMissing = errors.New("PostgreSQL is not installed (neither initdb on PATH nor /usr/lib/postgresql/*/bin); to run this test:  sudo apt-get install postgresql")

var shared struct {
	mu      sync.Mutex
	running bool // inside Run
	server  *Server
	err     error
	schemas int
}

// Run runs the tests of a package and stops the server that they started.
func Run(tests func() int) int {
	shared.mu.Lock()
	shared.running = true
	shared.mu.Unlock()
	code := tests()
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.server != nil {
		shared.server.remove()
	}
	return code
}

// URI is that of an empty schema on the server that the tests of the process share.
func URI(tb testing.TB) string {
	tb.Helper()
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if !shared.running {
		tb.Fatal("TestMain must call postgres.Run")
	}
	if shared.server == nil && shared.err == nil {
		// Nothing of a test outlives its process, so its writes need not reach the disk.
		shared.server, shared.err = start(context.Background(), "-c", "fsync=off")
	}
	skip(tb, shared.err)
	shared.schemas++
	name := "t" + strconv.Itoa(shared.schemas)
	if err := shared.server.exec(tb.Context(), "CREATE SCHEMA "+name); err != nil {
		tb.Fatal(err)
	}
	return shared.server.URI() + "&search_path=" + name
}

// Start makes a server for one test, with settings such as "-c", "fsync=off".
func Start(tb testing.TB, settings ...string) *Server {
	tb.Helper()
	s, err := start(tb.Context(), settings...)
	skip(tb, err)
	tb.Cleanup(s.remove)
	return s
}

// Open makes a server outside of tests, e.g. for a benchmark; the caller closes it.
func Open(ctx context.Context, settings ...string) (*Server, error) { return start(ctx, settings...) }

// Close ends and removes the server.
func (s *Server) Close() { s.remove() }

// Database makes a database of its own, whose texts sort by their bytes, and gives its URI.
func (s *Server) Database(ctx context.Context, name string) (string, error) {
	if err := s.exec(ctx, "CREATE DATABASE "+name+" TEMPLATE template0 LOCALE_PROVIDER libc LOCALE 'C.UTF-8'"); err != nil {
		return "", err
	}
	return strings.Replace(s.URI(), "/postgres?", "/"+name+"?", 1), nil
}

func skip(tb testing.TB, err error) {
	tb.Helper()
	if errors.Is(err, errMissing) {
		tb.Skip(err)
	}
	if err != nil {
		tb.Fatal(err)
	}
}

func start(ctx context.Context, settings ...string) (s *Server, err error) {
	s = &Server{args: settings}
	if s.bin, err = binaries(); err != nil {
		return nil, err
	}
	if s.owner, err = account(); err != nil {
		return nil, err
	}
	if s.dir, err = os.MkdirTemp("", "kwpg"); err != nil { // short: a socket lies in it
		return nil, err
	}
	if s.owner != nil {
		if err := os.Chown(s.dir, int(s.owner.Uid), int(s.owner.Gid)); err != nil {
			return nil, err
		}
	}
	init := exec.CommandContext(ctx, filepath.Join(s.bin, "initdb"), "--no-sync", "--auth=trust", "--username=kiwerk", "--encoding=UTF8",
		"--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=de", "--pgdata", s.data())
	s.own(init)
	if out, err := init.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w\n%s", err, out)
	}
	if err := s.Restart(ctx); err != nil {
		s.remove()
		return nil, err
	}
	return s, nil
}

func binaries() (string, error) {
	if path, err := exec.LookPath("initdb"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil {
			return filepath.Dir(path), nil
		}
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		return "", errMissing
	}
	slices.Sort(found)
	return filepath.Dir(found[len(found)-1]), nil
}

// account is whom the server runs as; nil is the user of the test.
func account() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil //nolint:nilnil // As the comment says.
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		if u, err = user.Lookup("nobody"); err != nil {
			return nil, fmt.Errorf("PostgreSQL does not run as root, and there is no user postgres or nobody: %w", err)
		}
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}

func (s *Server) own(c *exec.Cmd) {
	c.Dir = s.dir
	c.Env = []string{"PATH=/usr/bin:/bin", "LC_ALL=C.UTF-8", "TZ=UTC"}
	c.SysProcAttr = attributes(s.owner)
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

// URI of the database.
func (s *Server) URI() string {
	return "postgresql:///postgres?user=kiwerk&host=" + url.QueryEscape(s.dir)
}

// Restart starts the server after Stop or Kill and waits until it answers.
func (s *Server) Restart(ctx context.Context) error {
	args := []string{
		"-D", s.data(), "-k", s.dir, "-c", "listen_addresses=", "-c", "unix_socket_permissions=0777", "-c", "max_connections=200",
		"-c", "shared_buffers=64MB", "-c", "log_min_messages=fatal",
	}
	var out bytes.Buffer
	s.cmd = exec.Command(filepath.Join(s.bin, "postgres"), append(args, s.args...)...)
	s.cmd.Stdout, s.cmd.Stderr = &out, &out
	s.own(s.cmd)
	if err := startLocked(s.cmd); err != nil {
		return err
	}
	s.exited = make(chan struct{})
	go func(c *exec.Cmd, exited chan struct{}) {
		_ = c.Wait() // how it ended is in its output
		close(exited)
	}(s.cmd, s.exited)
	var err error
	for range 300 {
		if err = s.exec(ctx, "SELECT 1"); err == nil {
			return os.Chmod(s.dir, 0o755) //nolint:gosec // The test's own user must reach the socket.
		}
		select {
		case <-s.exited:
			return fmt.Errorf("PostgreSQL ended while it started:\n%s", out.String())
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
	return fmt.Errorf("PostgreSQL does not answer: %w", err)
}

// startLocked starts a program that the kernel ends with this process. It does
// so when the thread that started it ends, hence one that never does.
func startLocked(c *exec.Cmd) error {
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		started <- c.Start()
		<-context.Background().Done()
	}()
	return <-started
}

func (s *Server) exec(ctx context.Context, text string) error {
	c, err := pgconn.Connect(ctx, s.URI())
	if err != nil {
		return err
	}
	_, err = c.Exec(ctx, text).ReadAll()
	return errors.Join(err, c.Close(ctx))
}

// Stop ends the server at once but in order, as an administrator does.
func (s *Server) Stop() { s.signal(syscall.SIGINT) }

// Kill ends the server as a crash does.
func (s *Server) Kill() { s.signal(syscall.SIGQUIT) }

func (s *Server) signal(sig syscall.Signal) {
	if s.cmd == nil || s.cmd.Process == nil {
		return
	}
	_ = s.cmd.Process.Signal(sig) // it may have ended
	<-s.exited
	s.cmd = nil
}

func (s *Server) remove() {
	s.Kill()
	_ = os.RemoveAll(s.dir) // what is left is in the temporary folder
}
