//go:build linux

package seed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kiwerk/kiwerk/examples/seed"
	"github.com/kiwerk/kiwerk/internal/kwtest/imagetest"
)

// pack makes an archive of the images that the blocks name: tools and Python of
// this machine, and on them the programs of examples/seed/images and MLflow.
func pack(ctx context.Context, root, python, file string) error {
	tools, err := imagetest.Programs(ctx, "usr/bin", "sh", "env", "id", "touch")
	if err != nil {
		return err
	}
	toolLayer, err := imagetest.NewLayer(append(tools, imagetest.Dir("tmp", 0o1777))...)
	if err != nil {
		return err
	}
	pythonLayer, packages, err := pythonLayers(ctx, python)
	if err != nil {
		return err
	}
	all := map[string]v1.Image{}
	add := func(name string, cfg v1.Config, layers ...v1.Layer) {
		img, failed := imagetest.New(runtime.GOARCH, cfg, layers...)
		all[name], err = img, errors.Join(err, failed)
	}
	const path = "PATH=/app:/usr/bin"
	add("busybox:1.37", v1.Config{Env: []string{path}, Cmd: []string{"sh"}}, toolLayer)
	add("ghcr.io/mlflow/mlflow:v3.17.2", v1.Config{Env: []string{path, "PYTHONPATH=/packages"}, Cmd: []string{"python3"}}, toolLayer, pythonLayer, packages)
	for _, i := range seed.Images {
		dir := filepath.Join(root, "examples", "seed", "images", i.Dir)
		files, failed := imagetest.Tree(dir, "app", func(string, fs.DirEntry) bool { return true })
		for k, f := range files {
			if filepath.Ext(f.Name) == "" { // a program
				files[k].Mode = 0o755
			}
		}
		app, failed2 := imagetest.NewLayer(files...)
		if err = errors.Join(err, failed, failed2); err == nil {
			add(i.Name, v1.Config{Env: []string{path}, Entrypoint: i.Entrypoint}, toolLayer, pythonLayer, app)
		}
	}
	if err != nil {
		return err
	}
	return imagetest.Save(file, all)
}

// notNeeded are parts of Python's own library and packages of the environment
// without which MLflow's server starts; together they are the greater part.
var notNeeded = []string{
	"test", "tests", "idlelib", "tkinter", "turtledemo", "lib2to3", "ensurepip", "pydoc_data", "site-packages", "dist-packages", "config-*",
	"PIL", "fontTools", "js", "kiwisolver", "matplotlib", "mpmath", "onnx", "onnxruntime", "pillow.libs", "pip", "pyarrow", "scipy", "scipy.libs",
	"setuptools", "skl2onnx", "sklearn", "skops", "sympy",
}

func needed(path string, _ fs.DirEntry) bool {
	name := filepath.Base(path)
	return filepath.Ext(name) != ".pyi" && filepath.Ext(name) != ".a" && !slices.ContainsFunc(notNeeded, func(pattern string) bool {
		match, err := filepath.Match(pattern, name)
		return match && err == nil
	})
}

// pythonLayers are the interpreter with its library, at the paths that they have here, and the packages of the environment.
func pythonLayers(ctx context.Context, python string) (interpreter, packages v1.Layer, err error) {
	out, err := exec.CommandContext(ctx, python, "-c", `import os, sys, sysconfig
print(os.path.realpath(sys.executable), sysconfig.get_path("stdlib"), sysconfig.get_path("purelib"), sep="\n")`).Output()
	where := strings.Split(strings.TrimSpace(string(out)), "\n")
	if err != nil || len(where) != 3 {
		return nil, nil, fmt.Errorf("ask %s where it is: %w", python, err)
	}
	program, library, site := where[0], where[1], where[2]
	files, err := imagetest.Tree(library, library, needed)
	if err != nil {
		return nil, nil, err
	}
	more, err := imagetest.Tree(site, "packages", needed)
	if err != nil {
		return nil, nil, err
	}
	loads := []string{program}
	for _, f := range slices.Concat(files, more) {
		if strings.Contains(f.Name, ".so") {
			loads = append(loads, f.From)
		}
	}
	for _, l := range imagetest.Libraries(ctx, loads...) {
		if !strings.HasPrefix(l.From, site) { // they bring some of their own
			files = append(files, l)
		}
	}
	files = append(files, imagetest.Copy(program, program, 0o755))
	for _, name := range []string{"usr/bin/python3", "usr/bin/python"} {
		if "/"+name != program {
			files = append(files, imagetest.Link(name, program))
		}
	}
	more = append(more, imagetest.File("usr/bin/mlflow", "#!/usr/bin/python3\nfrom mlflow.cli import cli\ncli()\n", 0o755))
	interpreter, err = imagetest.NewLayer(files...)
	packages, err2 := imagetest.NewLayer(more...)
	return interpreter, packages, errors.Join(err, err2)
}

// checkImages looks whether every container ran in an image of the archive.
func (p *platform) checkImages() {
	p.t.Helper()
	out := p.kubectl(p.t, "get", "pods", "-o", `jsonpath={range .items[*]}{.metadata.name} {.status.containerStatuses[*].imageID}{"\n"}{end}`)
	for line := range bytes.Lines(out) {
		if f := strings.Fields(string(line)); len(f) < 2 || slices.ContainsFunc(f[1:], func(id string) bool { return !strings.Contains(id, "sha256:") }) {
			p.t.Errorf("not in an image of the archive: %s", line)
		}
	}
}
