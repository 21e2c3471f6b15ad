//go:build linux

package shim_test

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/kiwerk/kiwerk/internal/cluster/shim"
)

const idle = `echo ready; while :; do sleep 1; done`

func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = r.Close(), w.Close() })
	return r, w
}

func TestRunning_Exec_streams(t *testing.T) {
	b := newBox(t, idle)
	r := b.start(t)
	in, toIn := pipe(t)
	out, fromOut := pipe(t)
	errs, fromErr := pipe(t)
	p := b.spec.Process
	p.Args = []string{"sh", "-c", "cat; echo err >&2; exit 11"}
	x, err := r.Exec(p, []*os.File{in, fromOut, fromErr})
	if err != nil {
		t.Fatal(err)
	}
	_, _ = fromOut.Close(), fromErr.Close()
	if _, err := toIn.WriteString("hello"); err != nil {
		t.Fatal(err)
	}
	_ = toIn.Close()
	got, err1 := io.ReadAll(out)
	gotErr, err2 := io.ReadAll(errs)
	if err := errors.Join(err1, err2); err != nil || string(got) != "hello" || string(gotErr) != "err\n" {
		t.Errorf("stdout %q, stderr %q, %v", got, gotErr, err)
	}
	if e, err := x.Wait(t.Context()); err != nil || e.Code != 11 {
		t.Errorf("exit %+v, %v", e, err)
	}
}

func TestRunning_Exec_terminal(t *testing.T) {
	b := newBox(t, idle)
	r := b.start(t)
	p := b.spec.Process
	p.Args, p.TTY = []string{"sh", "-c", "tty; test -t 1 && read x && echo got $x; stty size; exit 2"}, true
	x, err := r.Exec(p, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer x.Terminal.Close()
	if err := x.Resize(123, 45); err != nil {
		t.Fatal(err)
	}
	if _, err := x.Terminal.WriteString("word\n"); err != nil {
		t.Fatal(err)
	}
	out, _ := io.ReadAll(x.Terminal) // ends with EIO
	for _, want := range []string{"/dev/pts/0\r\n", "got word\r\n", "45 123\r\n"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("terminal shows %q, expected %q", out, want)
		}
	}
	if e, err := x.Wait(t.Context()); err != nil || e.Code != 2 {
		t.Errorf("exit %+v, %v", e, err)
	}
}

func TestRunning_Exec_canceled(t *testing.T) {
	b := newBox(t, idle)
	r := b.start(t)
	out, w := pipe(t)
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	p := b.spec.Process
	p.Args = []string{"sh", "-c", "echo on; sleep 1000"}
	x, err := r.Exec(p, []*os.File{null, w, null})
	if err != nil {
		t.Fatal(err)
	}
	_ = w.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := x.Wait(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("wait: %v", err)
	}
	// The end of the pipe is the end of all that wrote to it.
	if _, err := io.ReadAll(out); err != nil {
		t.Error(err)
	}
}

func TestRunning_Exec_errors(t *testing.T) {
	b := newBox(t, idle)
	r := b.start(t)
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	p := b.spec.Process
	p.Args = []string{"no-such-tool"}
	_, err = r.Exec(p, []*os.File{null, null, null})
	var bad *shim.StartError
	if !errors.As(err, &bad) || !strings.Contains(bad.Message, "not found in PATH") {
		t.Errorf("error %v", err)
	}
	p.Args = []string{"sleep", "1000"}
	x, err := r.Exec(p, []*os.File{null, null, null})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Kill(); err != nil {
		t.Fatal(err)
	}
	if e, err := x.Wait(t.Context()); err == nil && e.Code != 137 {
		t.Errorf("exec of an ended container: %+v", e)
	}
	wait(t, r.Done())
	if _, err := r.Exec(p, []*os.File{null, null, null}); !errors.Is(err, shim.ErrGone) {
		t.Errorf("exec after the end: %v", err)
	}
}

func TestRunning_Attach(t *testing.T) {
	b := newBox(t, `while read line; do echo "got $line"; done; exit 8`)
	b.spec.Stdin, b.spec.StdinOnce = true, true
	r := b.start(t)
	in, toIn := pipe(t)
	out, fromOut := pipe(t)
	a, err := r.Attach([]string{"stdin", "stdout"}, []*os.File{in, fromOut})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	_, _ = in.Close(), fromOut.Close()
	if _, err := toIn.WriteString("one\ntwo\n"); err != nil {
		t.Fatal(err)
	}
	_ = toIn.Close()
	got, err := io.ReadAll(out)
	if err != nil || string(got) != "got one\ngot two\n" {
		t.Errorf("attached output %q, %v", got, err)
	}
	wait(t, r.Done())
	if e := b.exit(t); e.Code != 8 {
		t.Errorf("exit %+v", e)
	}
	if got := b.output(t); got != "got one\ngot two\n" {
		t.Errorf("log %q", got)
	}
}

func TestStart_terminal(t *testing.T) {
	b := newBox(t, `tty; read x; echo got $x`)
	b.spec.Process.TTY, b.spec.Stdin = true, true
	r := b.start(t)
	in, toIn := pipe(t)
	a, err := r.Attach([]string{"stdin"}, []*os.File{in})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if _, err := toIn.WriteString("word\n"); err != nil {
		t.Fatal(err)
	}
	wait(t, r.Done())
	if got := b.output(t); !strings.Contains(got, "/dev/pts/0") || !strings.Contains(got, "got word") {
		t.Errorf("log %q", got)
	}
}
