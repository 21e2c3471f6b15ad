package modelserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"
)

// entry is something in a folder of a source.
type entry struct {
	name string
	dir  bool
	size int64
}

// source is where the files of a model are.
type source interface {
	// list gives the entries of a folder; none if it is a file.
	list(ctx context.Context, folder string) ([]entry, error)
	open(ctx context.Context, file string) (io.ReadCloser, error)
}

// Fetcher brings a model's files into a folder.
type Fetcher struct {
	// Platform is the address of the platform (KIWERK_URL); empty if there is none.
	Platform string
	// TokenFile holds the pod's token, sent to the platform only.
	TokenFile string
	// Namespace is the project whose artifacts are meant.
	Namespace string
	// Roots are the folders below which file:// may read.
	Roots []string
	// AllowPrivate lets http(s) addresses of other servers lead into private networks.
	AllowPrivate bool
	// MaxBytes bounds the files together.
	MaxBytes int64
}

// Fetch copies the model at uri into dir and returns the path of its ONNX file.
func (f *Fetcher) Fetch(ctx context.Context, uri, dir string) (string, error) {
	src, root, err := f.locate(uri)
	if err != nil {
		return "", err
	}
	if c, ok := src.(io.Closer); ok {
		defer c.Close()
	}
	out, err := os.OpenRoot(dir)
	if err != nil {
		return "", err
	}
	defer func() { _ = out.Close() }() // the files in it are closed one by one
	t := &transfer{src: src, out: out, left: f.MaxBytes, max: f.MaxBytes}
	file, err := t.model(ctx, root)
	if err != nil {
		return "", fmt.Errorf("model %s: %w", redact(uri), err)
	}
	full := filepath.Join(dir, filepath.FromSlash(file))
	return full, checkONNX(full, redact(uri))
}

// redact takes user and query out of an address before it is shown.
func redact(uri string) string {
	u, err := url.Parse(uri)
	if err != nil {
		return "(address cannot be parsed)"
	}
	u.User, u.RawQuery = nil, ""
	return u.String()
}

// locate finds who can read uri, and the path to ask for.
func (f *Fetcher) locate(uri string) (source, string, error) {
	u, err := url.Parse(uri)
	if err != nil {
		return nil, "", fmt.Errorf("model address: %w", errors.Unwrap(err))
	}
	switch u.Scheme {
	case "", "file":
		return f.files(u.Path)
	case "mlflow-artifacts":
		return f.artifacts(strings.TrimPrefix(u.Path, "/"))
	case "http", "https":
		if p, ok := f.proxied(u); ok {
			return f.artifacts(p)
		}
		return newWeb(f.AllowPrivate, u), path.Base(u.Path), nil
	default:
		return nil, "", fmt.Errorf("model address %s: scheme %q is not known here; file, http, https and mlflow-artifacts are", redact(uri), u.Scheme)
	}
}

// files opens the allowed folder that p lies in. Links cannot lead out of it.
func (f *Fetcher) files(p string) (source, string, error) {
	p = filepath.Clean(p)
	for _, r := range f.Roots {
		rel, err := filepath.Rel(r, p)
		if err != nil || !filepath.IsLocal(rel) {
			continue
		}
		root, err := os.OpenRoot(r)
		if err != nil {
			return nil, "", fmt.Errorf("folder for models: %w", err)
		}
		return &folder{root}, filepath.ToSlash(rel), nil
	}
	return nil, "", fmt.Errorf("file://%s does not lie below a folder that models may be read from (%s); add it to serving.fileRoots in the configuration", p, strings.Join(f.Roots, ", "))
}

// folder reads below a root.
type folder struct{ root *os.Root }

func (s *folder) Close() error { return s.root.Close() }

func (s *folder) list(_ context.Context, name string) ([]entry, error) {
	info, err := s.root.Stat(name)
	if err != nil || !info.IsDir() {
		return nil, err
	}
	found, err := fs.ReadDir(s.root.FS(), name)
	if err != nil {
		return nil, err
	}
	var list []entry
	for _, d := range found {
		info, err := s.root.Stat(path.Join(name, d.Name()))
		if err != nil {
			continue // a link that leads out or nowhere
		}
		list = append(list, entry{d.Name(), info.IsDir(), info.Size()})
	}
	return list, nil
}

func (s *folder) open(_ context.Context, name string) (io.ReadCloser, error) {
	info, err := s.root.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file", name)
	}
	return s.root.Open(name)
}

// transfer copies the files of one model.
type transfer struct {
	src       source
	out       *os.Root
	left, max int64
}

// Files of an MLflow model that describe Python, not the computation.
var environment = map[string]bool{
	"MLmodel": true, "conda.yaml": true, "python_env.yaml": true, "requirements.txt": true, "registered_model_meta": true,
	"input_example.json": true, "serving_input_example.json": true, "metadata": true, "code": true,
}

// model copies what the model at root consists of and returns its ONNX file below the output folder.
func (t *transfer) model(ctx context.Context, root string) (string, error) {
	entries, err := t.src.list(ctx, root)
	if err != nil {
		return "", err
	}
	if len(entries) == 0 {
		const name = "model.onnx"
		return name, t.copy(ctx, root, name)
	}
	file, err := t.onnxFile(ctx, root, entries)
	if err != nil {
		return "", err
	}
	// Large models keep weights in files beside the ONNX file.
	within, files := path.Dir(file), entries
	if within != "." {
		if files, err = t.src.list(ctx, path.Join(root, within)); err != nil {
			return "", err
		}
	}
	for _, e := range files {
		if e.dir || within == "." && environment[e.name] || e.name != path.Base(file) && isONNX(e.name) {
			continue
		}
		if err := t.copy(ctx, path.Join(root, within, e.name), e.name); err != nil {
			return "", err
		}
	}
	return path.Base(file), nil
}

func isONNX(name string) bool { return strings.HasSuffix(strings.ToLower(name), ".onnx") }

// onnxFile finds the ONNX file of a folder: what MLmodel says, else model.onnx, else the only one.
func (t *transfer) onnxFile(ctx context.Context, root string, entries []entry) (string, error) {
	var found []string
	for _, e := range entries {
		switch {
		case e.name == "MLmodel" && !e.dir:
			return t.fromMLmodel(ctx, path.Join(root, e.name))
		case e.name == "model.onnx" && !e.dir:
			found = []string{e.name}
		case isONNX(e.name) && !e.dir && (len(found) != 1 || found[0] != "model.onnx"):
			found = append(found, e.name)
		}
	}
	for _, e := range entries { // MLmodel decides even when it comes after others
		if e.name == "MLmodel" && !e.dir {
			return t.fromMLmodel(ctx, path.Join(root, e.name))
		}
	}
	if len(found) == 1 {
		return found[0], nil
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.name
	}
	if len(found) > 1 {
		return "", fmt.Errorf("the folder has several ONNX files (%s); name one of them in the address", strings.Join(found, ", "))
	}
	return "", fmt.Errorf("the folder has no MLmodel and no .onnx file; it has %s", strings.Join(names, ", "))
}

const maxMLmodel = 1 << 20

// fromMLmodel reads which file the onnx flavour of an MLflow model is.
func (t *transfer) fromMLmodel(ctx context.Context, file string) (string, error) {
	r, err := t.src.open(ctx, file)
	if err != nil {
		return "", err
	}
	defer r.Close()
	text, err := io.ReadAll(io.LimitReader(r, maxMLmodel))
	if err != nil {
		return "", err
	}
	return onnxData(text)
}

// onnxData finds flavors.onnx.data in the text of an MLmodel file.
func onnxData(text []byte) (string, error) {
	var m struct {
		Flavors map[string]struct {
			Data string `yaml:"data"`
		} `yaml:"flavors"`
	}
	if err := yaml.Unmarshal(text, &m); err != nil {
		return "", fmt.Errorf("MLmodel is not valid YAML: %w", err)
	}
	onnx, ok := m.Flavors["onnx"]
	if !ok {
		var flavors []string
		for name := range m.Flavors {
			if name != "python_function" {
				flavors = append(flavors, name)
			}
		}
		return "", fmt.Errorf("this MLflow model has no onnx flavour (it has: %s); %s", strings.Join(flavors, ", "), convertPickle)
	}
	data := path.Clean(onnx.Data)
	if onnx.Data == "" {
		data = "model.onnx"
	}
	if !fs.ValidPath(data) || data == "." {
		return "", fmt.Errorf("MLmodel names %q as its ONNX file, which is no path inside the model", onnx.Data)
	}
	return data, nil
}

func (t *transfer) copy(ctx context.Context, from, to string) error {
	r, err := t.src.open(ctx, from)
	if err != nil {
		return err
	}
	defer r.Close()
	w, err := t.out.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	n, err := io.Copy(w, io.LimitReader(r, t.left+1))
	if err = errors.Join(err, w.Close()); err != nil {
		return fmt.Errorf("read %s: %w", path.Base(from), err)
	}
	if t.left -= n; t.left < 0 {
		return fmt.Errorf("larger than %d bytes, the limit of --max-model-bytes", t.max)
	}
	return nil
}
