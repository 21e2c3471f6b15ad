package blobtest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kiwerk/kiwerk/internal/blob"
)

// Climbing are keys that lead out, in many spellings.
var Climbing = []string{
	"", ".", "..", "../a", "a/../../b", "a/..", "a/./b", "/a", "//a", "a//b", "a/", "./a",
	`..\a`, `a\..\..\b`, `\a`, `C:\a`, "C:/a", "a\x00b", "a\nb", "%2e%2e/a", "%2e%2e%2fa", "..%2fa", "a%2f..%2f..%2fb",
	"%252e%252e%252fa", "%25252e%25252e%25252fa", "%5c..%5ca", "%2fetc/passwd", "%00", "a%2500", "\xff\xfe", "%ff",
	"%25252525252e", ".incomplete/a", "%2eincomplete/a",
	strings.Repeat("a", 256), strings.Repeat("a/", 600) + "a",
}

// Exercise runs the suite; open returns an empty bucket.
func Exercise(t *testing.T, open func(t *testing.T) blob.Bucket) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, blob.Bucket){
		"Roundtrip":   roundtrip,
		"Large":       large,
		"Ranges":      ranges,
		"Atomic":      atomic,
		"Tree":        tree,
		"Conflict":    conflict,
		"Climbing":    climbing,
		"Concurrency": concurrency,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

func put(t *testing.T, b blob.Bucket, key, content string) {
	t.Helper()
	info, err := b.Create(t.Context(), key, strings.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	if info.Key != key || info.Size != int64(len(content)) || info.Folder {
		t.Errorf("Create answered %+v", info)
	}
}

func get(t *testing.T, b blob.Bucket, key string, offset, n int64) string {
	t.Helper()
	r, _, err := b.Open(t.Context(), key, offset, n)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	content, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func list(t *testing.T, b blob.Bucket, folder string) (names []string) {
	t.Helper()
	for info, err := range b.List(t.Context(), folder) {
		if err != nil {
			t.Fatal(err)
		}
		name := info.Key
		if info.Folder {
			name += "/"
		}
		names = append(names, name)
	}
	return names
}

func roundtrip(t *testing.T, b blob.Bucket) {
	t.Helper()
	for _, content := range []string{"first", "", strings.Repeat("0123456789", 1<<18)} {
		put(t, b, "x/Grüße 100% sure.txt", content)
		if got := get(t, b, "x/Grüße 100% sure.txt", 0, -1); got != content {
			t.Errorf("%d bytes came back, %d were stored", len(got), len(content))
		}
	}
	if _, _, err := b.Open(t.Context(), "nothing", 0, -1); !blob.IsNotExist(err) {
		t.Errorf("open: %v", err)
	}
	if _, err := b.Stat(t.Context(), "nothing"); !blob.IsNotExist(err) {
		t.Errorf("stat: %v", err)
	}
	if err := b.Delete(t.Context(), "nothing/at/all"); err != nil {
		t.Errorf("delete: %v", err)
	}
}

// large is more than stores take at once, whole and cut off.
func large(t *testing.T, b blob.Bucket) {
	t.Helper()
	const size = 19<<20 + 7
	source := func() io.Reader { return io.LimitReader(rand.NewChaCha8([32]byte{1}), size) }
	want := sha256.New()
	if _, err := io.Copy(want, source()); err != nil {
		t.Fatal(err)
	}
	info, err := b.Create(t.Context(), "model/weights", source())
	if err != nil || info.Size != size || info.Version == "" {
		t.Fatalf("%+v, %v", info, err)
	}
	if _, err := b.Create(t.Context(), "model/weights", io.MultiReader(io.LimitReader(source(), size-9), failing{io.ErrUnexpectedEOF})); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("cut off: %v", err)
	}
	if _, err := b.Create(t.Context(), "model/other", io.MultiReader(io.LimitReader(source(), size-9), failing{io.ErrUnexpectedEOF})); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("cut off: %v", err)
	}
	if diff := cmp.Diff([]string{"model/weights"}, list(t, b, "model")); diff != "" {
		t.Error(diff)
	}
	r, opened, err := b.Open(t.Context(), "model/weights", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	got := sha256.New()
	if _, err := io.Copy(got, r); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Sum(nil), want.Sum(nil)) || opened.Version != info.Version || opened.Size != size {
		t.Errorf("%+v came back for %+v", opened, info)
	}
}

func ranges(t *testing.T, b blob.Bucket) {
	t.Helper()
	put(t, b, "digits", "0123456789")
	for want, r := range map[string][2]int64{"0123456789": {0, -1}, "345": {3, 3}, "89": {8, 100}, "": {10, -1}, "9": {9, -1}} {
		if got := get(t, b, "digits", r[0], r[1]); got != want {
			t.Errorf("%v: got %q, want %q", r, got, want)
		}
	}
	if _, _, err := b.Open(t.Context(), "digits", 11, -1); !errors.Is(err, blob.ErrRange) {
		t.Errorf("behind the end: %v", err)
	}
}

func atomic(t *testing.T, b blob.Bucket) {
	t.Helper()
	put(t, b, "k", "old")
	broken := errors.New("the client went away")
	_, err := b.Create(t.Context(), "k", io.MultiReader(strings.NewReader("new, but not all"), failing{broken}))
	if !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	_, err = b.Create(ctx, "k", io.MultiReader(strings.NewReader("new"), hook{cancel}, strings.NewReader("more")))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if got := get(t, b, "k", 0, -1); got != "old" {
		t.Errorf("the key holds %q", got)
	}
	if diff := cmp.Diff([]string{"k"}, list(t, b, "")); diff != "" {
		t.Error(diff)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

type hook struct{ f func() }

func (h hook) Read([]byte) (int, error) { h.f(); return 0, io.EOF }

func tree(t *testing.T, b blob.Bucket) {
	t.Helper()
	for _, k := range []string{"1/run/artifacts/model/MLmodel", "1/run/artifacts/model/model.onnx", "1/run/artifacts/plot.png", "2/a", "2-b"} {
		put(t, b, k, k)
	}
	for folder, want := range map[string][]string{
		"":                      {"1/", "2/", "2-b"},
		"1/run/artifacts":       {"1/run/artifacts/model/", "1/run/artifacts/plot.png"},
		"1/run/artifacts/model": {"1/run/artifacts/model/MLmodel", "1/run/artifacts/model/model.onnx"},
		"2/a":                   nil,
		"none":                  nil,
	} {
		got := list(t, b, folder)
		sorted := cmp.Transformer("set", func(s []string) map[string]bool {
			m := map[string]bool{}
			for _, k := range s {
				m[k] = true
			}
			return m
		})
		if diff := cmp.Diff(want, got, sorted); diff != "" {
			t.Errorf("%q: %s", folder, diff)
		}
	}
	if info, err := b.Stat(t.Context(), "1/run"); err != nil || !info.Folder {
		t.Errorf("%+v, %v", info, err)
	}
	if err := b.Delete(t.Context(), "1/run/artifacts/model"); err != nil {
		t.Fatal(err)
	}
	if err := b.Delete(t.Context(), "2/a"); err != nil {
		t.Fatal(err)
	}
	var rest []string
	for info, err := range blob.Walk(t.Context(), b, "") {
		if err != nil {
			t.Fatal(err)
		}
		rest = append(rest, info.Key)
	}
	if diff := cmp.Diff([]string{"1/run/artifacts/plot.png", "2-b"}, rest); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"1/", "2-b"}, list(t, b, "")); diff != "" {
		t.Error(diff)
	}
}

func conflict(t *testing.T, b blob.Bucket) {
	t.Helper()
	put(t, b, "file", "x")
	put(t, b, "folder/file", "x")
	for _, k := range []string{"file/below", "file/far/below", "folder"} {
		if _, err := b.Create(t.Context(), k, strings.NewReader("y")); !errors.Is(err, blob.ErrConflict) {
			t.Errorf("%s: %v", k, err)
		}
	}
	if _, _, err := b.Open(t.Context(), "file/below", 0, -1); !blob.IsNotExist(err) {
		t.Errorf("open below a file: %v", err)
	}
	if _, _, err := b.Open(t.Context(), "folder", 0, -1); !blob.IsNotExist(err) {
		t.Errorf("open a folder: %v", err)
	}
}

func climbing(t *testing.T, b blob.Bucket) {
	t.Helper()
	ctx := t.Context()
	for _, k := range Climbing {
		if _, _, err := b.Open(ctx, k, 0, -1); !errors.Is(err, blob.ErrKey) {
			t.Errorf("Open(%q): %v", k, err)
		}
		if _, err := b.Create(ctx, k, bytes.NewReader(nil)); !errors.Is(err, blob.ErrKey) {
			t.Errorf("Create(%q): %v", k, err)
		}
		if _, err := b.Stat(ctx, k); !errors.Is(err, blob.ErrKey) {
			t.Errorf("Stat(%q): %v", k, err)
		}
		if err := b.Delete(ctx, k); !errors.Is(err, blob.ErrKey) {
			t.Errorf("Delete(%q): %v", k, err)
		}
		if k == "" {
			continue // the top of the tree
		}
		for _, err := range b.List(ctx, k) {
			if !errors.Is(err, blob.ErrKey) {
				t.Errorf("List(%q): %v", k, err)
			}
		}
	}
}

// concurrency writes into folders while they are emptied.
func concurrency(t *testing.T, b blob.Bucket) {
	t.Helper()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 25 {
				if _, err := b.Create(t.Context(), "a/b/c", strings.NewReader("content")); err != nil {
					t.Error(err)
				}
			}
		})
		wg.Go(func() {
			for range 25 {
				if err := b.Delete(t.Context(), "a/b/c"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	put(t, b, "a/b/c", "end")
	if got := get(t, b, "a/b/c", 0, -1); got != "end" {
		t.Errorf("got %q", got)
	}
}
