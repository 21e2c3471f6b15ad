package tracking_test

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// inside tells the child process, which has a mount namespace of its own, that it is the child.
const inside = "KIWERK_TEST_TMPFS"

// TestDiskFull: a full disk is 507, which clients do not repeat for minutes;
// nothing is half-written, nothing acknowledged is lost, and it works again
// when there is room.
func TestDiskFull(t *testing.T) {
	if os.Getenv(inside) != "" {
		diskFull(t)
		return
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestDiskFull$", "-test.v")
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	out, err := cmd.CombinedOutput()
	if err != nil && strings.Contains(err.Error(), "operation not permitted") {
		t.Skipf("this host forbids mount namespaces: %v", err)
	}
	if err != nil || !bytes.Contains(out, []byte("PASS: TestDiskFull")) {
		t.Errorf("%v\n%s", err, out)
	}
}

func diskFull(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=8m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	p := start(t, dir, nil)
	run, artifacts := p.newRun()
	filler := filepath.Join(dir, "filler")
	if err := os.WriteFile(filler, make([]byte, 5<<20), 0o600); err != nil {
		t.Fatal(err)
	}

	stored := 0
	for {
		status, body := p.do("POST", "/api/2.0/mlflow/runs/log-batch", bigBatch(run, stored))
		if status == http.StatusOK {
			if stored++; stored > 100 {
				t.Fatal("the disk does not fill")
			}
			continue
		}
		if status != http.StatusInsufficientStorage || body["error_code"] != "RESOURCE_EXHAUSTED" {
			t.Fatalf("%d %v", status, body)
		}
		break
	}
	if status := p.put(artifacts+"/big", strings.Repeat("x", 8<<20)); status != http.StatusInsufficientStorage {
		t.Errorf("upload: status %d", status)
	}
	check := func(when string) {
		t.Helper()
		data := dig(p.must("GET", "runs/get?run_id="+run, ""), "run", "data").(map[string]any)
		params, _ := data["params"].([]any)
		if len(params) != 20*stored {
			t.Errorf("%s: %d params, want those of the %d batches that were acknowledged", when, len(params), stored)
		}
	}
	check("full")
	if status, _ := p.do("GET", "/api/2.0/mlflow-artifacts/artifacts/"+artifacts+"/big", ""); status != http.StatusNotFound {
		t.Errorf("a part of an upload is there: %d", status)
	}

	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	if status, body := p.do("POST", "/api/2.0/mlflow/runs/log-batch", bigBatch(run, stored)); status != http.StatusOK {
		t.Fatalf("with room again: %d %v", status, body)
	}
	stored++
	check("with room again")
	if status := p.put(artifacts+"/small", "x"); status != http.StatusOK {
		t.Errorf("upload with room again: %d", status)
	}
}

func bigBatch(run string, n int) string {
	var params []string
	for i := range 20 {
		params = append(params, fmt.Sprintf(`{"key":"p%d-%d","value":%q}`, n, i, strings.Repeat("x", 6000)))
	}
	return fmt.Sprintf(`{"run_id":%q,"params":[%s]}`, run, strings.Join(params, ","))
}
