package cli

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func images() *ImageList {
	return &ImageList{Mode: "auto", Bytes: 2_500_000, Items: []Image{{
		ID: "sha256:0123456789abcdef", Names: []string{"docker.io/library/app:1"}, Digests: []string{}, Bytes: 2_500_000,
		Added: started, Source: "load", InUse: true, Layers: []string{"a", "b"}, Entrypoint: []string{"/app", "-v"}, Env: []string{"A=1", "B=2"}, Labels: map[string]string{"k": "v"},
	}}}
}

func TestImage_commands(t *testing.T) {
	dir := t.TempDir()
	for name, c := range map[string]struct {
		args      []string
		seen      []any
		out, err_ string
		code      int
	}{
		"Load":       {args: []string{"image", "load", dir, "--name", "app:1"}, seen: []any{dir, "app:1"}, out: "Loaded docker.io/library/app:1"},
		"LoadJSON":   {args: []string{"image", "load", dir, "-o", "json"}, seen: []any{dir, ""}, out: `"id": "sha256:0123456789abcdef"`},
		"LoadNoFile": {args: []string{"image", "load", filepath.Join(dir, "x")}, code: ExitNotFound, err_: "cannot be read"},
		"Pull":       {args: []string{"image", "pull", "app:1"}, seen: []any{"app:1", (*Login)(nil)}, out: "kiwerk kubectl run app --image=docker.io/library/app:1"},
		"PullUser":   {args: []string{"image", "pull", "app:1", "--username", "me"}, code: ExitUsage, err_: "belong together"},
		"PullLogin":  {args: []string{"image", "pull", "app:1", "--username", "me", "--password-stdin"}, seen: []any{"app:1", &Login{User: "me"}}},
		"List":       {args: []string{"image", "list"}, out: "docker.io/library/app:1   0123456789ab   2.5 MB"},
		"Show":       {args: []string{"image", "show", "app:1"}, seen: []any{"app:1"}, out: "entrypoint   /app -v"},
		"Rm":         {args: []string{"image", "rm", "a", "b"}, seen: []any{"a", "b"}, out: "Removed 2 images and 2 layers, 3.0 kB freed"},
		"RmNothing":  {args: []string{"image", "rm"}, code: ExitUsage},
		"Prune":      {args: []string{"image", "prune", "--all"}, seen: []any{true}, out: "Removed 0 images"},
		"PruneYAML":  {args: []string{"image", "prune", "-o", "yaml"}, seen: []any{false}, out: "images: []"},
		"German":     {args: []string{"image", "prune", "--lang", "de"}, seen: []any{false}, out: "0 Images und 0 Schichten entfernt, 0 B frei geworden"},
	} {
		t.Run(name, func(t *testing.T) {
			r, seen := run(t, nil, c.args...)
			if r.code != c.code || !strings.Contains(r.out, c.out) || !strings.Contains(r.err, c.err_) {
				t.Errorf("code %d\nout %s\nerr %s", r.code, r.out, r.err)
			}
			if diff := cmp.Diff(c.seen, seen); diff != "" {
				t.Errorf("asked for (-want +got):\n%s", diff)
			}
		})
	}
}
