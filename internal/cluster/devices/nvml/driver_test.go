package nvml

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kiwerk/kiwerk/internal/cluster/devices/gpu"
)

// TestMain plays the child, too.
func TestMain(m *testing.M) {
	role := filepath.Base(os.Args[0])
	if !strings.HasPrefix(role, "child-") {
		os.Exit(m.Run())
	}
	s := bufio.NewScanner(os.Stdin)
	for n := 0; s.Scan(); n++ {
		switch {
		case role == "child-dies" && n == 1:
			os.Exit(1)
		case role == "child-hangs":
			continue
		case role == "child-lingers": // as its output does with one who inherits it
			heir := exec.Command("sleep", "1")
			heir.Stdout = os.Stdout
			if err := heir.Start(); err != nil {
				os.Exit(1)
			}
		case strings.Contains(s.Text(), AskSystem):
			fmt.Fprintln(os.Stdout, `{"event":{"uuid":"GPU-a","gi":-1,"xid":48}}`)
			fmt.Fprintln(os.Stdout, `{"system":{"driver":"1","cuda":"2","gpus":[{"uuid":"GPU-a"}]}}`)
		case role == "child-fails":
			fmt.Fprintln(os.Stdout, `{"error":"Unknown Error"}`)
		default:
			fmt.Fprintln(os.Stdout, `{"samples":[{"uuid":"GPU-a","utilization":7}]}`)
		}
	}
	os.Exit(0)
}

func open(t *testing.T, role string) *Driver {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "child-"+role)
	if err := os.Symlink(self, path); err != nil {
		t.Fatal(err)
	}
	d := Open(path)
	t.Cleanup(func() { d.Close() })
	return d
}

func TestDriver(t *testing.T) {
	d := open(t, "works")
	s, err := d.System(t.Context())
	if err != nil || len(s.GPUs) != 1 || s.GPUs[0].UUID != "GPU-a" {
		t.Fatalf("%+v: %v", s, err)
	}
	if e := <-d.Events(); e != (gpu.Event{UUID: "GPU-a", GI: -1, XID: 48}) {
		t.Errorf("event %+v", e)
	}
	x, err := d.Samples(t.Context())
	if err != nil || len(x) != 1 || x[0].Utilization != 7 {
		t.Errorf("%+v: %v", x, err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if _, open := <-d.Events(); open {
		t.Error("events go on after the end")
	}
	if _, err := d.Samples(t.Context()); err == nil {
		t.Error("an answer after the end")
	}
}

// A child that dies costs one answer.
func TestDriver_dies(t *testing.T) {
	d := open(t, "dies")
	if _, err := d.System(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Samples(t.Context()); err == nil {
		t.Fatal("a dead child has answered")
	}
	if _, err := d.Samples(t.Context()); err != nil {
		t.Errorf("the next one: %v", err)
	}
}

func TestDriver_hangs(t *testing.T) {
	d := open(t, "hangs")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := d.Samples(ctx); err == nil || !strings.Contains(err.Error(), "deadline") {
		t.Errorf("error %v", err)
	}
}

// A child that cannot be ended blocks nobody, and is not joined by others.
func TestDriver_lingers(t *testing.T) {
	d := open(t, "lingers")
	d.patience = 20 * time.Millisecond
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := d.Samples(ctx); err == nil || !strings.Contains(err.Error(), "deadline") {
		t.Fatalf("error %v", err)
	}
	lost := d.lost
	if lost == nil {
		t.Fatal("the child has ended")
	}
	if _, err := d.Samples(t.Context()); err == nil || !strings.Contains(err.Error(), "does not end") {
		t.Errorf("error %v", err)
	}
	<-lost.gone
	ctx, cancel = context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := d.Samples(ctx); err == nil || strings.Contains(err.Error(), "does not end") {
		t.Errorf("after it has gone: %v", err)
	}
}

func TestDriver_fails(t *testing.T) {
	d := open(t, "fails")
	if _, err := d.Samples(t.Context()); err == nil || !strings.Contains(err.Error(), "Unknown Error") {
		t.Errorf("error %v", err)
	}
	if _, err := Open("/does/not/be").System(t.Context()); err == nil {
		t.Error("a program that is not there has answered")
	}
}
