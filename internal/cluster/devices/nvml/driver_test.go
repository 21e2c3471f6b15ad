package nvml

import (
	"bufio"
	"context"
	"errors"
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
			lives, started := heirOf(os.Args[0])
			heir := exec.Command("sh", "-c", `while test -e "$0"; do sleep .02; done`, lives)
			heir.Stdout = os.Stdout
			if errors.Join(heir.Start(), os.WriteFile(started, nil, 0o600)) != nil {
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

// heirOf are two files: the heir of a child lives while the first is there, and has started when the second is.
func heirOf(path string) (lives, started string) { return path + ".lives", path + ".started" }

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
	lives, started := heirOf(d.path)
	if err := os.WriteFile(lives, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer cancel()
		for t.Context().Err() == nil {
			if _, err := os.Stat(started); err == nil {
				return
			}
			<-time.After(5 * time.Millisecond)
		}
	}()
	if _, err := d.Samples(ctx); err == nil || !strings.Contains(err.Error(), "canceled") {
		t.Fatalf("error %v", err)
	}
	lost := d.lost
	if lost == nil {
		t.Fatal("the child has ended")
	}
	if _, err := d.Samples(t.Context()); err == nil || !strings.Contains(err.Error(), "does not end") {
		t.Errorf("error %v", err)
	}
	if err := os.Remove(lives); err != nil {
		t.Fatal(err)
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
