//go:build linux

package holder_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kiwerk/kiwerk/internal/cluster/agenttest"
	"github.com/kiwerk/kiwerk/internal/cluster/holder"
	"github.com/kiwerk/kiwerk/internal/cluster/rootfs"
	"github.com/kiwerk/kiwerk/internal/cluster/shim"
)

const envRole = "KIWERK_TEST_ROLE"

// TestMain also plays the daemon and a launcher that is killed.
func TestMain(m *testing.M) {
	switch os.Getenv(envRole) {
	case "daemon":
		exit(daemon())
	case "launcher":
		exit(launcher())
	default:
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

func TestAsOrdinaryUser(t *testing.T) { agenttest.AsUser(t) }

// daemon answers on the passed listener: "box" starts a container, "adopt"
// takes it over, "stat" shows a mount, "exit N" ends.
func daemon() error {
	l, err := net.FileListener(os.NewFile(3, "listener"))
	if err != nil {
		return err
	}
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		line, err := bufio.NewReader(conn).ReadString('\n')
		if err != nil {
			return err
		}
		word, arg, _ := strings.Cut(strings.TrimSpace(line), " ")
		if word == "exit" {
			code, _ := strconv.Atoi(arg)
			os.Exit(code)
		}
		answer, err := obey(word, arg)
		if err != nil {
			answer = "error: " + err.Error()
		}
		fmt.Fprintln(conn, answer)
		_ = conn.Close()
	}
}

func obey(word, arg string) (string, error) {
	switch word {
	case "box":
		caps, err := shim.Capabilities(nil, nil)
		if err != nil {
			return "", err
		}
		r, err := shim.Start(context.Background(), agenttest.Agent(), arg, shim.Spec{
			ID: "box", Process: shim.Process{Args: []string{"/bin/sh", "-c", "trap 'exit 9' TERM; while :; do sleep 0.05; done"}, Env: []string{"PATH=/usr/bin:/bin"}, Caps: caps},
			Root: rootfs.Spec{Scratch: filepath.Join(arg, "root")}, LogPath: filepath.Join(arg, "log"), Socket: filepath.Join(arg, "s"), Grace: 10 * time.Second,
		})
		if err != nil {
			return "", err
		}
		return strconv.Itoa(r.State().PID), nil
	case "adopt":
		r, err := shim.Adopt(context.Background(), arg)
		if err != nil {
			return "", err
		}
		ns, err := os.Readlink("/proc/self/ns/mnt")
		if err != nil || ns != r.State().MountNS {
			return "", fmt.Errorf("mount namespace %s, the shim's is %s: %w", ns, r.State().MountNS, err)
		}
		return strconv.Itoa(r.State().PID), r.Signal(0)
	case "touch":
		return "ok", os.WriteFile(arg, nil, 0o600)
	case "ids":
		return identify(arg)
	case "uid":
		return strconv.Itoa(os.Getuid()), nil
	}
	return "", fmt.Errorf("unknown %s", word)
}

// place is one cluster's directories.
type place struct {
	run, data, box string
	listener       net.Listener
}

func newPlace(t *testing.T) *place {
	t.Helper()
	run, err := os.MkdirTemp("", "kw") //nolint:usetesting // Sockets need a short path.
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(run) })
	p := &place{run: run, data: t.TempDir()}
	p.box = filepath.Join(p.data, "b")
	if err := os.Mkdir(p.box, 0o700); err != nil {
		t.Fatal(err)
	}
	if p.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.listener.Close()
		c, err := holder.Connect(p.run)
		if errors.Is(err, holder.ErrNotRunning) {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := errors.Join(err, c.Shutdown(ctx)); err != nil {
			t.Error(err)
		}
	})
	return p
}

func (p *place) ensure(t *testing.T) *holder.Client {
	t.Helper()
	log, err := os.Create(filepath.Join(p.data, "hold.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	c, err := holder.Ensure(t.Context(), holder.Options{AgentPath: agenttest.Agent(), RuntimeDir: p.run, DataDir: p.data, Log: log})
	if err != nil {
		out, _ := os.ReadFile(log.Name())
		t.Fatalf("%v\n%s", err, out)
	}
	return c
}

func (p *place) command() (holder.Command, []*os.File, error) {
	f, err := p.listener.(*net.TCPListener).File()
	env := slices.DeleteFunc(os.Environ(), func(e string) bool { return strings.HasPrefix(e, envRole+"=") })
	env = append(env, envRole+"=daemon")
	self, selfErr := os.Executable()
	return holder.Command{Path: self, Args: []string{"daemon"}, Env: env, Dir: "/", Stderr: os.Stderr}, []*os.File{f}, errors.Join(err, selfErr)
}

func (p *place) daemon(t *testing.T, c *holder.Client) int {
	t.Helper()
	cmd, files, err := p.command()
	if err != nil {
		t.Fatal(err)
	}
	pid, err := c.StartDaemon(t.Context(), cmd, files)
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// say sends one line to the daemon through the socket of the host's network.
func (p *place) say(t *testing.T, line string) string {
	t.Helper()
	conn, err := net.Dial("tcp", p.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	fmt.Fprintln(conn, line)
	answer, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(answer))
}

func gone(t *testing.T, pid int) {
	t.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 20000); n != 1 || err != nil {
		t.Fatalf("process %d still runs: %v", pid, err)
	}
}

func TestClient_startsDaemonInsideNamespaces(t *testing.T) {
	p := newPlace(t)
	c := p.ensure(t)
	p.daemon(t, c)
	if uid := p.say(t, "uid"); uid != "0" {
		t.Errorf("the daemon is user %s, expected root of the namespace", uid)
	}
	if got := p.say(t, "touch /var/lib/kubelet/mark"); got != "ok" {
		t.Error(got)
	}
	if _, err := os.Stat(filepath.Join(p.data, holder.KubeletState, "mark")); err != nil {
		t.Error("what the kubelet writes is not in the data directory:", err)
	}
	if _, err := os.Stat("/var/lib/kubelet/mark"); err == nil {
		t.Error("what the kubelet writes appeared on the host")
	}
	if cmd, files, err := p.command(); err != nil {
		t.Error(err)
	} else if _, err := c.StartDaemon(t.Context(), cmd, files); err == nil || !strings.Contains(err.Error(), "runs already") {
		t.Errorf("second daemon: %v", err)
	}
	if got := p.say(t, "exit 3"); got != "" {
		t.Error(got)
	}
	ended, err := c.Wait(t.Context())
	if err != nil || ended.Code != 3 {
		t.Errorf("end %+v, %v", ended, err)
	}
	if err := c.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := holder.Connect(p.run); !errors.Is(err, holder.ErrNotRunning) {
		t.Errorf("after shutdown: %v", err)
	}
}

// TestClient_killedLauncher is the heart of it: launcher killed, daemon dies, container lives and is adopted.
func TestClient_killedLauncher(t *testing.T) {
	p := newPlace(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	f, err := p.listener.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	launch := exec.Command(self)
	launch.Env = append(os.Environ(), envRole+"=launcher", "PLACE="+p.run+":"+p.data)
	launch.ExtraFiles, launch.Stderr = []*os.File{f}, os.Stderr
	out, err := launch.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := launch.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	daemon, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	box, err := strconv.Atoi(p.say(t, "box "+p.box))
	if err != nil {
		t.Fatal(err)
	}
	if err := launch.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = launch.Wait()
	gone(t, daemon)

	c := p.ensure(t)
	st, err := c.Status(t.Context())
	if err != nil || st.Daemon != 0 || len(st.Orphans) != 1 || st.Orphans[0] != box {
		t.Fatalf("status %+v, %v; the container's shim is %d", st, err, box)
	}
	second := p.daemon(t, c)
	if got := p.say(t, "adopt "+p.box); got != strconv.Itoa(box) {
		t.Fatalf("adopted %q, expected %d", got, box)
	}
	// A daemon that is killed costs no container either.
	if err := c.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if e, err := c.Wait(t.Context()); err != nil || e.Signal != int(unix.SIGKILL) {
		t.Errorf("end %+v, %v", e, err)
	}
	gone(t, second)
	if st, err := c.Status(t.Context()); err != nil || len(st.Orphans) != 1 {
		t.Errorf("status %+v, %v", st, err)
	}
	if err := c.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	gone(t, box)
	end, err := shim.ReadExit(p.box)
	if err != nil || end.Code != 9 {
		t.Errorf("the container was not asked to end: %+v, %v", end, err)
	}
}

func launcher() error {
	run, data, _ := strings.Cut(os.Getenv("PLACE"), ":")
	c, err := holder.Ensure(context.Background(), holder.Options{AgentPath: agenttest.Agent(), RuntimeDir: run, DataDir: data, Log: os.Stderr})
	if err != nil {
		return err
	}
	l, err := net.FileListener(os.NewFile(3, "listener"))
	if err != nil {
		return err
	}
	cmd, files, err := (&place{listener: l}).command()
	if err != nil {
		return err
	}
	pid, err := c.StartDaemon(context.Background(), cmd, files)
	if err != nil {
		return err
	}
	fmt.Fprintln(os.Stdout, pid)
	_, err = c.Wait(context.Background())
	return err
}

func TestClient_endsWhenIdle(t *testing.T) {
	p := newPlace(t)
	c := p.ensure(t)
	st, err := c.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	gone(t, st.PID)
}

func TestEnsure_once(t *testing.T) {
	p := newPlace(t)
	pids := make(chan int, 8)
	for range 8 {
		go func() {
			c, err := holder.Ensure(t.Context(), holder.Options{AgentPath: agenttest.Agent(), RuntimeDir: p.run, DataDir: p.data})
			if err != nil {
				t.Error(err)
				pids <- 0
				return
			}
			st, err := c.Status(t.Context())
			if err != nil {
				t.Error(err)
			}
			pids <- st.PID
		}()
	}
	first := <-pids
	for range 7 {
		if pid := <-pids; pid != first {
			t.Errorf("two holders: %d and %d", first, pid)
		}
	}
}
