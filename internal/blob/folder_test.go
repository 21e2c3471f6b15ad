package blob_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

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

func TestOpenFolder_dropsUnfinishedWrites(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, ".incomplete"), 0o700); err != nil {
		t.Fatal(err)
	}
	left := filepath.Join(dir, ".incomplete", "half")
	if err := os.WriteFile(left, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	openFolder(t, dir)
	if _, err := os.Stat(left); !os.IsNotExist(err) {
		t.Errorf("still there: %v", err)
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
