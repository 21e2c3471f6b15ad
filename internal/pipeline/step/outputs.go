package step

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// collect reads output parameters and stores output artifacts. After a failed
// command what is there is taken all the same, because exit handlers may ask for it.
func (a *agent) collect(ctx context.Context, succeeded bool) error {
	var errs []error
	for _, p := range a.spec.Parameters {
		value, err := parameter(p)
		if err != nil {
			errs = append(errs, fmt.Errorf("output parameter %s: %w", p.Name, err))
			continue
		}
		a.report.Parameters = append(a.report.Parameters, Parameter{Name: p.Name, Value: value, GlobalName: p.GlobalName})
	}
	for _, out := range a.spec.Artifacts {
		stored, err := a.artifact(ctx, out)
		switch {
		case errors.Is(err, fs.ErrNotExist) && (out.Optional || !succeeded):
		case err != nil:
			errs = append(errs, fmt.Errorf("output artifact %s: %w", out.Name, err))
		default:
			a.report.Artifacts = append(a.report.Artifacts, stored)
		}
	}
	return errors.Join(errs...)
}

func parameter(p OutputParameter) (string, error) {
	f, err := os.Open(p.Path)
	if errors.Is(err, fs.ErrNotExist) && p.Default != nil {
		return *p.Default, nil
	}
	if err != nil {
		return "", fmt.Errorf("the command has not written its file: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, MaxParameter+1))
	if err != nil {
		return "", err
	}
	if len(b) > MaxParameter {
		return "", fmt.Errorf("%s is larger than %d bytes; use an artifact for data", p.Path, MaxParameter)
	}
	return strings.TrimSuffix(string(b), "\n"), nil
}

// artifact stores a file or folder.
func (a *agent) artifact(ctx context.Context, out OutputArtifact) (Artifact, error) {
	info, err := os.Stat(out.Path)
	if err != nil {
		return Artifact{}, fmt.Errorf("the command has not written it: %w", err)
	}
	switch {
	case out.Plain && info.IsDir():
		err = a.putFolder(ctx, out)
	case out.Plain:
		err = a.store.put(ctx, out.Key, func() (io.ReadCloser, error) { return os.Open(out.Path) })
	default:
		err = a.store.put(ctx, out.Key, func() (io.ReadCloser, error) { return pack(out.Path, out.Level) })
	}
	if err != nil {
		return Artifact{}, err
	}
	return Artifact{Name: out.Name, Key: out.Key, Path: out.Path, Plain: out.Plain, GlobalName: out.GlobalName}, nil
}

// putFolder stores each file of a folder under a key of its own.
func (a *agent) putFolder(ctx context.Context, out OutputArtifact) error {
	return filepath.WalkDir(out.Path, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
			return err // a link to a file counts as the file, other things mean nothing elsewhere
		}
		rel, err := filepath.Rel(out.Path, path)
		if err != nil {
			return err
		}
		return a.store.put(ctx, out.Key+"/"+filepath.ToSlash(rel), func() (io.ReadCloser, error) { return os.Open(path) })
	})
}

// pack yields a tar archive with gzip of a file or folder.
func pack(path string, level *int32) (io.ReadCloser, error) {
	speed := gzip.DefaultCompression
	if level != nil {
		speed = int(*level)
	}
	r, w := io.Pipe()
	z, err := gzip.NewWriterLevel(w, speed)
	if err != nil {
		return nil, fmt.Errorf("archive.tar.compressionLevel: %w", err)
	}
	go func() {
		t := tar.NewWriter(z)
		err := addTree(t, path)
		err = errors.Join(err, t.Close(), z.Close())
		if err != nil {
			err = localError{err}
		}
		w.CloseWithError(err) // nil is the end of the file; never fails
	}()
	return r, nil
}

// addTree adds a file or a folder with everything in it, below its own name.
func addTree(t *tar.Writer, top string) error {
	top = filepath.Clean(top)
	if resolved, err := filepath.EvalSymlinks(top); err == nil && resolved != top {
		return walkTree(t, resolved, filepath.Base(top)) // what the link leads to, under the link's name
	}
	return walkTree(t, top, filepath.Base(top))
}

func walkTree(t *tar.Writer, top, base string) error {
	return filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(top, path)
		if err != nil {
			return err
		}
		return addEntry(t, path, filepath.ToSlash(filepath.Join(base, rel)), d)
	})
}

func addEntry(t *tar.Writer, path, name string, d fs.DirEntry) error {
	info, err := d.Info()
	if err != nil {
		return err
	}
	link := ""
	if info.Mode()&fs.ModeSymlink != 0 {
		if link, err = os.Readlink(path); err != nil {
			return err
		}
	}
	if !info.Mode().IsRegular() && !info.IsDir() && link == "" {
		return nil // sockets, pipes and devices mean nothing elsewhere
	}
	h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: int64(info.Mode().Perm()), ModTime: info.ModTime()}
	switch {
	case info.IsDir():
		h.Typeflag, h.Name = tar.TypeDir, name+"/"
	case link != "":
		h.Typeflag, h.Linkname = tar.TypeSymlink, link
	default:
		h.Size = info.Size()
	}
	if err := t.WriteHeader(h); err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := io.CopyN(t, f, h.Size); err != nil {
		return fmt.Errorf("%s changed while it was stored: %w", path, err)
	}
	return nil
}
