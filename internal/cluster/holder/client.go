//go:build linux

package holder

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kiwerk/kiwerk/internal/cluster/fdsock"
)

// Options say which holder is meant and how to start it.
type Options struct {
	// AgentPath is the program kiwerk-agent.
	AgentPath string
	// RuntimeDir is short and 0700; it holds socket and lock.
	RuntimeDir string
	// DataDir is the data directory of this cluster.
	DataDir string
	// PodNetwork gives the holder a network namespace, in which daemon and shims
	// run. A holder that runs already keeps what it has, see [Status].
	PodNetwork bool
	// Log gets what the holder has to say; nil discards it.
	Log *os.File
}

// ErrNotRunning says that no holder runs for a runtime directory.
var ErrNotRunning = errors.New("no holder runs")

// ErrLost says that the holder ended while it was needed.
var ErrLost = errors.New("the holder process ended; it owned the cluster's namespaces, so the daemon has ended, too")

// Command is what the daemon runs.
type Command struct {
	// Path of the program; Args begin with its name, as in exec.
	Path string
	Args []string
	Env  []string
	Dir  string
	// Standard streams; nil is /dev/null.
	Stdin, Stdout, Stderr *os.File
}

// Client is a connection to a holder. The daemon that was started through it
// is killed when it is closed or its process ends.
type Client struct {
	conn *fdsock.Conn

	mu      sync.Mutex
	next    int
	replies map[int]chan event
	gone    chan struct{} // closed when the connection has ended
	exit    chan Exit
}

// Connect connects to a running holder, or returns [ErrNotRunning].
func Connect(runtimeDir string) (*Client, error) {
	conn, err := fdsock.Dial(filepath.Join(runtimeDir, socketName))
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ECONNREFUSED) {
		return nil, ErrNotRunning
	}
	if err != nil {
		return nil, fmt.Errorf("holder: %w", err)
	}
	return newClient(conn), nil
}

// Ensure connects to the holder, and starts it first if there is none.
func Ensure(ctx context.Context, o Options) (*Client, error) {
	retry := time.NewTicker(10 * time.Millisecond)
	defer retry.Stop()
	for {
		c, err := Connect(o.RuntimeDir)
		if !errors.Is(err, ErrNotRunning) {
			return c, err
		}
		lock, err := tryLock(o.RuntimeDir)
		if err != nil {
			return nil, err
		}
		if lock != nil {
			defer lock.Close()
			return start(ctx, o, lock)
		}
		// Another launcher is starting it, or an old one is just ending.
		select {
		case <-retry.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("holder: another process holds %s: %w", filepath.Join(o.RuntimeDir, lockName), ctx.Err())
		}
	}
}

func tryLock(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("holder: %w", err)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil {
		return f, nil
	}
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, f.Close()
	}
	return nil, errors.Join(fmt.Errorf("holder: lock %s: %w", f.Name(), err), f.Close())
}

// start starts a holder, which inherits the lock, and waits until it is ready.
func start(ctx context.Context, o Options, lock *os.File) (*Client, error) {
	conn, theirs, err := fdsock.Pair("holder")
	if err != nil {
		return nil, err
	}
	proc, err := fork(ctx, o, theirs, lock)
	err = errors.Join(err, theirs.Close())
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	// Reaped if it ends while this launcher lives.
	go func() { _, _ = proc.Wait() }()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	var ev event
	_, err = conn.Recv(&ev)
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("start holder: %w", ctx.Err())
	case errors.Is(err, io.EOF):
		return nil, errors.Join(errors.New("start holder: it ended at once, see its log"), conn.Close())
	case err != nil:
		return nil, errors.Join(fmt.Errorf("start holder: %w", err), conn.Close())
	case ev.Error != "":
		return nil, errors.Join(fmt.Errorf("prepare the cluster's mount namespace: %s%s", ev.Error, mountHelp(ev.Error, os.Geteuid() == 0, sysctl)), conn.Close())
	}
	return newClient(conn), nil
}

func fork(ctx context.Context, o Options, theirs, lock *os.File) (*os.Process, error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	log := o.Log
	if log == nil {
		log = null
	}
	sys := &syscall.SysProcAttr{Setsid: true, Cloneflags: unix.CLONE_NEWNS}
	args := []string{"kiwerk-agent", "hold", o.RuntimeDir, o.DataDir}
	if o.PodNetwork {
		sys.Cloneflags |= unix.CLONE_NEWNET
		args = append(args, PodNetwork)
	}
	if os.Geteuid() != 0 {
		sys.Cloneflags |= unix.CLONE_NEWUSER
		sys.UidMappings = []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}}
		sys.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}}
	}
	attr := &os.ProcAttr{Dir: "/", Env: []string{"GOMAXPROCS=2"}, Files: []*os.File{null, log, log, theirs, lock}, Sys: sys}
	if os.Geteuid() != 0 {
		proc, err := startMapped(ctx, o.AgentPath, args, attr)
		var none *lackingIDs
		if err == nil || !errors.As(err, &none) {
			return proc, err
		}
		_, _ = fmt.Fprintf(log, "pods have no users but root: %v\n", none) // the holder's log is for people only
	}
	proc, err := os.StartProcess(o.AgentPath, args, attr)
	if err != nil {
		return nil, forbidden(err, os.Geteuid() == 0, sysctl)
	}
	return proc, nil
}

func newClient(conn *fdsock.Conn) *Client {
	c := &Client{conn: conn, replies: map[int]chan event{}, gone: make(chan struct{}), exit: make(chan Exit, 1)}
	go c.listen()
	return c
}

// listen gives answers to who asked.
func (c *Client) listen() {
	defer close(c.gone)
	for {
		var ev event
		if _, err := c.conn.Recv(&ev); err != nil {
			return
		}
		if ev.Exit != nil {
			select {
			case c.exit <- *ev.Exit:
			default: // nobody waited for the last one
			}
			continue
		}
		c.mu.Lock()
		reply := c.replies[ev.ID]
		delete(c.replies, ev.ID)
		c.mu.Unlock()
		if reply != nil {
			reply <- ev
		}
	}
}

func (c *Client) ask(ctx context.Context, r request, files ...*os.File) (event, error) {
	reply := make(chan event, 1)
	c.mu.Lock()
	c.next++
	r.ID = c.next
	c.replies[r.ID] = reply
	c.mu.Unlock()
	if err := c.conn.Send(r, files...); err != nil {
		return event{}, fmt.Errorf("holder: %w", err)
	}
	select {
	case ev := <-reply:
		if ev.Error != "" {
			return ev, errors.New(ev.Error)
		}
		return ev, nil
	case <-c.gone:
		// The answer to a shutdown may be the last thing that came.
		select {
		case ev := <-reply:
			return ev, nil
		default:
			return event{}, ErrLost
		}
	case <-ctx.Done():
		return event{}, ctx.Err()
	}
}

// StartDaemon starts the daemon inside the holder's namespaces. The files
// become its descriptors from 3 on. It belongs to this client.
func (c *Client) StartDaemon(ctx context.Context, cmd Command, files []*os.File) (int, error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return 0, err
	}
	defer null.Close()
	all := []*os.File{null, null, null}
	for i, f := range []*os.File{cmd.Stdin, cmd.Stdout, cmd.Stderr} {
		if f != nil {
			all[i] = f
		}
	}
	ev, err := c.ask(ctx, request{Op: opStart, Command: &wireCommand{cmd.Path, cmd.Args, cmd.Env, cmd.Dir}}, append(all, files...)...)
	return ev.PID, err
}

// Wait returns how the daemon ended, or [ErrLost].
func (c *Client) Wait(ctx context.Context) (Exit, error) {
	select {
	case e := <-c.exit:
		return e, nil
	default:
	}
	select {
	case e := <-c.exit:
		return e, nil
	case <-c.gone:
		select {
		case e := <-c.exit:
			return e, nil
		default:
			return Exit{}, ErrLost
		}
	case <-ctx.Done():
		return Exit{}, ctx.Err()
	}
}

// Signal sends a signal to the daemon.
func (c *Client) Signal(sig syscall.Signal) error {
	_, err := c.ask(context.Background(), request{Op: opSignal, Signal: int(sig)})
	return err
}

// Status tells what the holder has.
func (c *Client) Status(ctx context.Context) (Status, error) {
	ev, err := c.ask(ctx, request{Op: opStatus})
	if err != nil {
		return Status{}, err
	}
	return *ev.Status, nil
}

// Shutdown stops the daemon and all shims and returns when they and the holder
// have ended. With a deadline in ctx, what still runs shortly before is killed.
func (c *Client) Shutdown(ctx context.Context) error {
	r := request{Op: opShutdown}
	if deadline, ok := ctx.Deadline(); ok {
		left := time.Until(deadline)
		r.Within = max(left-time.Second, left/2)
	}
	if _, err := c.ask(ctx, r); err != nil && !errors.Is(err, ErrLost) {
		return fmt.Errorf("stop the cluster: %w", err)
	}
	select {
	case <-c.gone:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close ends the connection; a daemon that was started through it is killed.
func (c *Client) Close() error { return c.conn.Close() }
