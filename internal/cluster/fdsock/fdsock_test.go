//go:build linux

package fdsock

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

type message struct {
	Text string
	N    int
}

func pair(t *testing.T) (a, b *Conn) {
	t.Helper()
	a, f, err := Pair("test")
	if err != nil {
		t.Fatal(err)
	}
	b, err = FromFile(f)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = a.Close(), b.Close() })
	return a, b
}

func TestConn_messages(t *testing.T) {
	a, b := pair(t)
	big := message{Text: strings.Repeat("x", 3<<20), N: 1}
	var wg sync.WaitGroup
	wg.Go(func() {
		for _, m := range []message{{"one", 1}, big, {"three", 3}} {
			if err := a.Send(m); err != nil {
				t.Error(err)
			}
		}
		_ = a.Close()
	})
	for _, want := range []message{{"one", 1}, big, {"three", 3}} {
		var got message
		if files, err := b.Recv(&got); err != nil || got != want || len(files) != 0 {
			t.Errorf("got %d bytes, %d, %d files, %v", len(got.Text), got.N, len(files), err)
		}
	}
	var none message
	if _, err := b.Recv(&none); !errors.Is(err, io.EOF) {
		t.Errorf("after the end: %v", err)
	}
	wg.Wait()
	if !b.PeerGone() {
		t.Error("the peer seems to be there")
	}
}

func TestConn_files(t *testing.T) {
	a, b := pair(t)
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	for n := range 3 {
		var files []*os.File
		for range n {
			f, err := os.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, f)
		}
		if err := a.Send(message{N: n}, files...); err != nil {
			t.Fatal(err)
		}
		CloseAll(files)
	}
	for n := range 3 {
		var m message
		files, err := b.Recv(&m)
		if err != nil || m.N != n || len(files) != n {
			t.Fatalf("message %d: %+v, %d files, %v", n, m, len(files), err)
		}
		for _, f := range files {
			if data, err := io.ReadAll(f); err != nil || string(data) != "content" {
				t.Errorf("file: %q, %v", data, err)
			}
		}
		CloseAll(files)
	}
}

func TestConn_limits(t *testing.T) {
	a, b := pair(t)
	if err := a.Send(strings.Repeat("x", MaxMessage)); err == nil {
		t.Error("too large a message was sent")
	}
	head := make([]byte, 4)
	binary.BigEndian.PutUint32(head, MaxMessage+1)
	if err := a.write(head, nil); err != nil {
		t.Fatal(err)
	}
	var m message
	if _, err := b.Recv(&m); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("too large a message was accepted: %v", err)
	}
}

func TestConn_cut(t *testing.T) {
	a, b := pair(t)
	if err := a.write([]byte{0, 0, 0, 9, '{'}, nil); err != nil {
		t.Fatal(err)
	}
	_ = a.Close()
	var m message
	if _, err := b.Recv(&m); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("cut message: %v", err)
	}
}

func TestListen(t *testing.T) {
	dir, err := os.MkdirTemp("", "kw") //nolint:usetesting // Sockets need a short path.
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "s")
	for range 2 { // a stale socket is replaced
		l, err := Listen(path)
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("mode %v, %v", info.Mode(), err)
		}
		c, err := Dial(path)
		if err != nil {
			t.Fatal(err)
		}
		s, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if uid, err := s.PeerUID(); err != nil || uid != uint32(os.Geteuid()) {
			t.Errorf("peer %d, %v", uid, err)
		}
		_, _, _ = c.Close(), s.Close(), l.f.Close() // leaves the socket's file
	}
	if _, err := Dial(path); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("dead socket: %v", err)
	}
	long := filepath.Join(dir, strings.Repeat("x", 120))
	if _, err := Listen(long); err == nil || !strings.Contains(err.Error(), "shorter runtime directory") {
		t.Errorf("long path: %v", err)
	}
	if _, err := Dial(long); err == nil || !strings.Contains(err.Error(), "shorter runtime directory") {
		t.Errorf("long path: %v", err)
	}
}

func FuzzConn_Recv(f *testing.F) {
	f.Add([]byte{0, 0, 0, 2, '{', '}'})
	f.Add([]byte{0, 0, 0, 12, '{', '"', 'N', '"', ':', '1', '}'})
	f.Add([]byte{255, 255, 255, 255})
	f.Fuzz(func(t *testing.T, data []byte) {
		a, b := pair(t)
		if len(data) > 64<<10 {
			return
		}
		if err := a.write(data, nil); err != nil {
			t.Fatal(err)
		}
		_ = a.Close()
		rest := len(data)
		for {
			var m message
			files, err := b.Recv(&m)
			if err != nil {
				return
			}
			if len(files) != 0 || rest <= 0 {
				t.Fatal("messages from nothing")
			}
			rest -= 4
		}
	})
}

func TestConn_concurrentSend(t *testing.T) {
	a, b := pair(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				if err := a.Send(message{Text: string(bytes.Repeat([]byte("y"), 5000)), N: 7}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 800 {
		var m message
		if _, err := b.Recv(&m); err != nil || m.N != 7 || len(m.Text) != 5000 {
			t.Fatalf("%+v, %v", m.N, err)
		}
	}
	wg.Wait()
}

// TestMain also plays a process of another user.
func TestMain(m *testing.M) {
	if path := os.Getenv("KIWERK_TEST_DIAL"); path != "" {
		c, err := Dial(path)
		if err == nil {
			var m message
			_, err = c.Recv(&m)
		}
		if errors.Is(err, io.EOF) || errors.Is(err, unix.ECONNRESET) {
			os.Exit(0) // dropped without an answer
		}
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func TestListener_Accept_otherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to become another user")
	}
	dir, err := os.MkdirTemp("", "kw") //nolint:usetesting // Sockets need a short path.
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "s")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	// Even if somebody opens the folder and the socket to all.
	if err := errors.Join(os.Chmod(dir, 0o755), os.Chmod(path, 0o666)); err != nil {
		t.Fatal(err)
	}
	accepted := make(chan error, 1)
	go func() {
		_, err := l.Accept()
		accepted <- err
	}()
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "p")
	if err := os.WriteFile(program, self, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program)
	cmd.Env = append(os.Environ(), "KIWERK_TEST_DIAL="+path)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	if err := cmd.Run(); err != nil {
		t.Errorf("another user was not dropped: %v", err)
	}
	select {
	case err := <-accepted:
		t.Errorf("another user was accepted: %v", err)
	default:
	}
}
