package workbench

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"time"

	"github.com/kiwerk/kiwerk/internal/tracking/client"
)

// Exported is a run that was written out.
type Exported struct {
	Run    string `json:"run_id"`
	To     string `json:"to"`
	Files  int    `json:"files"`
	Bytes  int64  `json:"bytes"`
	Models int    `json:"models"`
	Traces int    `json:"traces"`
}

// Record is a run with the whole history of its metrics, as run.json holds it.
type Record struct {
	Run

	History map[string][]Point `json:"history"`
}

// Point of a metric.
type Point struct {
	Value     client.Float `json:"value"`
	Step      client.Int   `json:"step"`
	Timestamp client.Int   `json:"timestamp"`
}

// RecordFile holds a run beside the folder of its artifacts, those of the models
// that it logged, each with its description, and that of its traces.
const (
	RecordFile      = "run.json"
	ArtifactsFolder = "artifacts"
	modelsFolder    = "models"
	modelRecord     = "model.json"
	tracesFolder    = "traces"
)

// ReadRecord asks for a run and its histories.
func ReadRecord(ctx context.Context, c *client.Client, run client.Run) (Record, error) {
	r := Record{Run: RunOf(run), History: map[string][]Point{}}
	for _, m := range run.Data.Metrics {
		for p, err := range c.History(ctx, run.Info.ID, m.Key) {
			if err != nil {
				return r, err
			}
			r.History[m.Key] = append(r.History[m.Key], Point{p.Value, p.Step, p.Timestamp})
		}
	}
	return r, nil
}

// part is a folder of the server that goes into an export.
type part struct {
	name string
	from client.Folder
}

// contents are what an export of a run consists of: folders of files, and
// documents by name that are made here. found hears of each document.
func contents(ctx context.Context, c *client.Client, run client.Run, out *Exported, found func(name string, content []byte) error) ([]part, error) {
	parts := []part{{ArtifactsFolder, client.RunFolder(run.Info)}}
	logged, err := Logged(ctx, c, run)
	if err != nil {
		return nil, err
	}
	for _, m := range logged {
		if !plainName(m.Info.ID) {
			return nil, fmt.Errorf("%w: %q", client.ErrPath, m.Info.ID)
		}
		folder := path.Join(modelsFolder, m.Info.ID)
		if err := document(m, path.Join(folder, modelRecord), found); err != nil {
			return nil, err
		}
		out.Models++
		parts = append(parts, part{path.Join(folder, ArtifactsFolder), client.ModelFolder(m)})
	}
	if err := eachTrace(ctx, c, run, func(id string, content []byte) error {
		if !plainName(id) {
			return fmt.Errorf("%w: %q", client.ErrPath, id)
		}
		out.Traces++
		return found(path.Join(tracesFolder, id+".json"), content)
	}); err != nil {
		return nil, err
	}
	record, err := ReadRecord(ctx, c, run)
	if err != nil {
		return nil, err
	}
	return parts, document(record, RecordFile, found)
}

// plainName tells whether a name is one element of a path.
func plainName(name string) bool { return filepath.IsLocal(name) && path.Base(name) == name }

func document(v any, name string, found func(name string, content []byte) error) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return found(name, append(b, '\n'))
}

// Export writes a run into a folder: its files, those of its models, its traces, and run.json.
func Export(ctx context.Context, c *client.Client, run client.Run, dir string, progress func(Pulled)) (Exported, error) {
	out := Exported{Run: run.Info.ID, To: dir}
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // As a user's own folder is.
		return out, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return out, err
	}
	defer root.Close()
	var record []byte
	parts, err := contents(ctx, c, run, &out, func(name string, content []byte) error {
		if name == RecordFile { // the last one: with it the export is whole
			record = content
			return nil
		}
		if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
			return err
		}
		return root.WriteFile(name, content, 0o644)
	})
	if err != nil {
		return out, err
	}
	for _, p := range parts {
		files, err := Pull(ctx, c, p.from, filepath.Join(dir, filepath.FromSlash(p.name)), progress)
		if err != nil {
			return out, err
		}
		for _, f := range files {
			out.Files++
			out.Bytes += f.Size
		}
	}
	return out, root.WriteFile(RecordFile, record, 0o644)
}

// archive is a tar that is written once, from front to back.
type archive struct {
	*tar.Writer

	modified time.Time
}

func (a archive) head(name string, size int64) error {
	return a.WriteHeader(&tar.Header{Name: name, Size: size, Mode: 0o644, ModTime: a.modified, Format: tar.FormatPAX})
}

func (a archive) document(name string, content []byte) error {
	if err := a.head(name, int64(len(content))); err != nil {
		return err
	}
	_, err := a.Write(content)
	return err
}

// ExportArchive writes the same as a tar with gzip to w. What each file is, the
// server decides while it is sent, so one that breaks off ends the export.
func ExportArchive(ctx context.Context, c *client.Client, run client.Run, w io.Writer, progress func(Pulled)) (Exported, error) {
	out := Exported{Run: run.Info.ID}
	zip := gzip.NewWriter(w)
	a := archive{tar.NewWriter(zip), time.UnixMilli(int64(max(run.Info.End, run.Info.Start)))}
	parts, err := contents(ctx, c, run, &out, a.document)
	if err != nil {
		return out, err
	}
	for _, p := range parts {
		if err := c.Walk(ctx, p.from, "", func(file client.File) error {
			size, err := a.file(ctx, c, p, file)
			if err != nil {
				return fmt.Errorf("%s: %w", file.Path, err)
			}
			out.Files++
			out.Bytes += size
			if progress != nil {
				progress(Pulled{Path: file.Path, Size: size})
			}
			return nil
		}); err != nil {
			return out, err
		}
	}
	return out, errors.Join(a.Close(), zip.Close())
}

func (a archive) file(ctx context.Context, c *client.Client, p part, file client.File) (int64, error) {
	content, err := c.Open(ctx, p.from, file.Path, 0, "")
	if err != nil {
		return 0, err
	}
	defer content.Close()
	size := content.Size
	if size < 0 {
		size = int64(file.Size)
	}
	if err := a.head(p.name+"/"+file.Path, size); err != nil {
		return size, err
	}
	_, err = io.CopyN(a, content, size)
	return size, err
}

// eachTrace calls fn for the traces of a run, in the form that MLflow's Trace.from_json reads.
func eachTrace(ctx context.Context, c *client.Client, run client.Run, fn func(id string, content []byte) error) error {
	q := client.Query{Experiments: []string{run.Info.ExperimentID}, Filter: "run_id = " + client.QuoteFilter(run.Info.ID)}
	for t, err := range c.Traces(ctx, q) {
		if client.IsUnknownRoute(err) { // a server before MLflow 3
			return nil
		}
		if err != nil {
			return err
		}
		info := map[string]any{}
		if err := json.Unmarshal(t.Raw, &info); err != nil {
			return err
		}
		if took, ok := info["execution_duration"].(string); ok { // "1.5s" on the wire
			d, err := time.ParseDuration(took)
			if err != nil {
				return fmt.Errorf("trace %s: execution_duration %q: %w", t.ID, took, err)
			}
			delete(info, "execution_duration")
			info["execution_duration_ms"] = d.Milliseconds()
		}
		data, err := c.TraceData(ctx, t.ID)
		if client.IsNotFound(err) { // it has no spans
			data, err = []byte(`{"spans":[]}`), nil
		}
		if err != nil {
			return err
		}
		b, err := json.MarshalIndent(map[string]any{"info": info, "data": json.RawMessage(data)}, "", "  ")
		if err != nil {
			return fmt.Errorf("trace %s: %w", t.ID, err)
		}
		if err := fn(t.ID, append(b, '\n')); err != nil {
			return err
		}
	}
	return nil
}

// Environment reads what a run noted about its packages: the step agent's lock,
// else the requirements of a model that it logged.
func Environment(ctx context.Context, c *client.Client, run client.Run) (map[string]string, error) {
	files, err := c.List(ctx, client.RunFolder(run.Info), "")
	if err != nil && !errors.Is(err, client.ErrElsewhere) && !client.IsNotFound(err) {
		return nil, err
	}
	has := func(folder string) bool {
		return slices.ContainsFunc(files, func(f client.File) bool { return f.Folder && f.Path == folder })
	}
	for _, try := range []string{LockFile, "model/requirements.txt"} {
		if !has(path.Dir(try)) {
			continue
		}
		if list, err := packages(ctx, c, client.RunFolder(run.Info), try); list != nil || err != nil {
			return list, err
		}
	}
	logged, err := Logged(ctx, c, run)
	if err != nil || len(logged) == 0 {
		return nil, err
	}
	return packages(ctx, c, client.ModelFolder(logged[0]), "requirements.txt")
}

// packages reads a file of requirements; nil is none.
func packages(ctx context.Context, c *client.Client, f client.Folder, file string) (map[string]string, error) {
	const most = 1 << 20
	content, err := c.Open(ctx, f, file, 0, "")
	if client.IsNotFound(err) || errors.Is(err, client.ErrElsewhere) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(content, most))
	if err := errors.Join(err, content.Close()); err != nil {
		return nil, err
	}
	return Packages(string(b)), nil
}
