package blob_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kiwerk/kiwerk/internal/blob"
	"github.com/kiwerk/kiwerk/internal/blob/blobtest"
)

func openFolder(t *testing.T, dir string) *blob.Folder {
	t.Helper()
	f, err := blob.OpenFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

func TestFolder(t *testing.T) {
	blobtest.Exercise(t, func(t *testing.T) blob.Bucket {
		t.Helper()
		return openFolder(t, t.TempDir())
	})
}

func TestFolder_linksDoNotLeadOut(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "secret"), []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{"file": filepath.Join(outside, "secret"), "folder": outside, "relative": "../" + filepath.Base(outside)} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	f := openFolder(t, dir)
	for _, k := range []string{"file", "folder/secret", "relative/secret"} {
		if r, _, err := f.Open(t.Context(), k, 0, -1); err == nil {
			r.Close()
			t.Errorf("%s could be read", k)
		}
	}
	for _, k := range []string{"folder/new", "folder/secret", "relative/new"} {
		if _, err := f.Create(t.Context(), k, strings.NewReader("x")); err == nil {
			t.Errorf("%s could be written", k)
		}
		if err := f.Delete(t.Context(), k); err == nil {
			t.Logf("%s: deleting it reported success", k)
		}
	}
	for info, err := range f.List(t.Context(), "") {
		t.Errorf("listed %+v, %v", info, err)
	}
	// The link itself may be replaced; what it points to stays.
	if _, err := f.Create(t.Context(), "file", strings.NewReader("mine")); err != nil {
		t.Error(err)
	}
	left, err := os.ReadFile(filepath.Join(outside, "secret"))
	if err != nil || string(left) != "secret" {
		t.Errorf("outside: %q, %v", left, err)
	}
	if names, err := os.ReadDir(outside); err != nil || len(names) != 1 {
		t.Errorf("outside: %v, %v", names, err)
	}
}

func TestFolder_layoutIsReadable(t *testing.T) {
	dir := t.TempDir()
	f := openFolder(t, dir)
	if _, err := f.Create(t.Context(), "default/1/run/artifacts/model/MLmodel", strings.NewReader("flavors:\n")); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(dir, "default", "1", "run", "artifacts", "model", "MLmodel"))
	if err != nil || string(got) != "flavors:\n" {
		t.Errorf("%q, %v", got, err)
	}
}

// TestOpenFolder_stale: what another process is writing stays, what one has
// left goes, at the start and with later writes.
func TestOpenFolder_stale(t *testing.T) {
	dir := t.TempDir()
	writing, left := filepath.Join(dir, ".incomplete", "writing"), filepath.Join(dir, ".incomplete", "left")
	leave := func(file string, since time.Duration) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
		at := time.Now().Add(-since)
		if err := os.Chtimes(file, at, at); err != nil {
			t.Fatal(err)
		}
	}
	check := func(file string, there bool) {
		t.Helper()
		if _, err := os.Stat(file); there != (err == nil) {
			t.Errorf("%s: %v", filepath.Base(file), err)
		}
	}
	leave(writing, 50*time.Minute)
	leave(left, 2*time.Hour)
	f := openFolder(t, dir)
	check(writing, true)
	check(left, false)
	write := func() {
		t.Helper()
		if _, err := f.Create(t.Context(), "a", strings.NewReader("x")); err != nil {
			t.Fatal(err)
		}
	}
	leave(left, 2*time.Hour)
	write()
	check(left, true) // it has just looked
	blob.Forget(f)
	write()
	check(left, false)
}

// TestFolder_twoProcesses has two processes open one folder, make and delete
// files in the same folders, and end no write of each other.
func TestFolder_twoProcesses(t *testing.T) {
	dir, name := os.Getenv("KIWERK_TEST_FOLDER"), "child"
	var child *exec.Cmd
	if dir == "" {
		dir, name = t.TempDir(), "parent"
		child = exec.Command(os.Args[0], "-test.run=^TestFolder_twoProcesses$")
		child.Env = append(os.Environ(), "KIWERK_TEST_FOLDER="+dir)
		var said strings.Builder
		child.Stdout, child.Stderr = &said, &said
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := child.Wait(); err != nil {
				t.Errorf("%v: %s", err, said.String())
			}
		}()
	}
	for i := range 60 {
		f := openFolder(t, dir) // also in the middle of a write of the other one
		mine, ours := fmt.Sprintf("a/b/%s/%d", name, i), "a/b/c/"+name
		for _, key := range []string{mine, ours} {
			if _, err := f.Create(t.Context(), key, strings.NewReader(key)); err != nil {
				t.Fatal(err)
			}
		}
		if err := f.Delete(t.Context(), ours); err != nil {
			t.Fatal(err)
		}
		if i%10 > 0 {
			if err := f.Delete(t.Context(), mine); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if _, err := f.Stat(t.Context(), mine); err != nil {
			t.Error(err)
		}
	}
}

func FuzzCheckKey(f *testing.F) {
	for _, k := range append(blobtest.Climbing, "a", "a/b.txt", "50%", "1/run/artifacts/model/MLmodel") {
		f.Add(k)
	}
	dir := filepath.Join(f.TempDir(), "root")
	f.Fuzz(func(t *testing.T, key string) {
		if blob.CheckKey(key) != nil {
			return
		}
		joined := filepath.Join(dir, filepath.FromSlash(key))
		if !strings.HasPrefix(joined, dir+string(filepath.Separator)) {
			t.Errorf("%q leads to %q", key, joined)
		}
	})
}

// TestOpenShared: a folder that others write, too, is made when something is
// written, with what their umask gives, and nothing else is left in it.
func TestOpenShared(t *testing.T) {
	top := t.TempDir()
	f, below, err := blob.OpenShared(filepath.Join(top, "1", "r"))
	if err != nil || below != "1/r" {
		t.Fatalf("%q, %v", below, err)
	}
	for info, err := range f.List(t.Context(), below) {
		t.Errorf("listed %+v, %v", info, err)
	}
	if _, err := f.Create(t.Context(), below+"/a.txt", strings.NewReader("x")); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(top)
	if err != nil || len(entries) != 1 || entries[0].Name() != "1" {
		t.Errorf("%v, %v", entries, err)
	}
	st, err := os.Stat(filepath.Join(top, "1", "r"))
	if err != nil || st.Mode().Perm()&0o050 == 0 {
		t.Errorf("%v, %v", st, err) // the umask of tests lets groups read
	}
	f, below, err = blob.OpenShared(filepath.Join(top, "1", "r"))
	if err != nil || below != "" {
		t.Fatalf("%q, %v", below, err)
	}
	defer f.Close()
	if info, err := f.Stat(t.Context(), "a.txt"); err != nil || info.Size != 1 {
		t.Errorf("%+v, %v", info, err)
	}
}
