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
	"path/filepath"
	"slices"
	"time"

	"github.com/kiwerk/kiwerk/internal/tracking/client"
)

// Exported is a run that was written out.
type Exported struct {
	Run   string `json:"run_id"`
	To    string `json:"to"`
	Files int    `json:"files"`
	Bytes int64  `json:"bytes"`
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

// RecordFile holds a run beside the folder of its artifacts.
const (
	RecordFile      = "run.json"
	ArtifactsFolder = "artifacts"
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

// Export writes a run into a folder: run.json and artifacts/.
func Export(ctx context.Context, c *client.Client, run client.Run, dir string, progress func(Pulled)) (Exported, error) {
	out := Exported{Run: run.Info.ID, To: dir}
	record, err := ReadRecord(ctx, c, run)
	if err != nil {
		return out, err
	}
	files, err := Pull(ctx, c, client.RunFolder(run.Info), filepath.Join(dir, ArtifactsFolder), progress)
	if err != nil {
		return out, err
	}
	for _, f := range files {
		out.Files++
		out.Bytes += f.Size
	}
	b, err := json.MarshalIndent(record, "", "  ")
	if err != nil {
		return out, err
	}
	return out, os.WriteFile(filepath.Join(dir, RecordFile), append(b, '\n'), 0o644) //nolint:gosec // As a user's own file is.
}

// ExportArchive writes the same as a tar with gzip to w. What each file is, the
// server decides while it is sent, so one that breaks off ends the export.
func ExportArchive(ctx context.Context, c *client.Client, run client.Run, w io.Writer, progress func(Pulled)) (Exported, error) {
	out := Exported{Run: run.Info.ID}
	record, err := ReadRecord(ctx, c, run)
	if err != nil {
		return out, err
	}
	b, err := json.MarshalIndent(record, "", "  ")
	if err != nil {
		return out, err
	}
	zip := gzip.NewWriter(w)
	archive := tar.NewWriter(zip)
	modified := time.UnixMilli(int64(max(run.Info.End, run.Info.Start)))
	head := func(name string, size int64) error {
		return archive.WriteHeader(&tar.Header{Name: name, Size: size, Mode: 0o644, ModTime: modified, Format: tar.FormatPAX})
	}
	if err := head(RecordFile, int64(len(b))); err != nil {
		return out, err
	}
	if _, err := archive.Write(b); err != nil {
		return out, err
	}
	f := client.RunFolder(run.Info)
	err = c.Walk(ctx, f, "", func(file client.File) error {
		content, err := c.Open(ctx, f, file.Path, 0, "")
		if err != nil {
			return err
		}
		defer content.Close()
		size := content.Size
		if size < 0 {
			size = int64(file.Size)
		}
		if err := head(ArtifactsFolder+"/"+file.Path, size); err != nil {
			return err
		}
		if _, err := io.CopyN(archive, content, size); err != nil {
			return fmt.Errorf("%s: %w", file.Path, err)
		}
		out.Files++
		out.Bytes += size
		if progress != nil {
			progress(Pulled{Path: file.Path, Size: size})
		}
		return nil
	})
	return out, errors.Join(err, archive.Close(), zip.Close())
}

// Environment reads what a run noted about its packages: the step agent's lock,
// else the requirements of the model that it logged.
func Environment(ctx context.Context, c *client.Client, run client.Run) (map[string]string, error) {
	const most = 1 << 20
	f := client.RunFolder(run.Info)
	files, err := c.List(ctx, f, "")
	if errors.Is(err, client.ErrElsewhere) || client.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	has := func(folder string) bool {
		return slices.ContainsFunc(files, func(f client.File) bool { return f.Folder && f.Path == folder })
	}
	for _, try := range []struct{ folder, file string }{{filepath.Dir(LockFile), LockFile}, {"model", "model/requirements.txt"}} {
		if !has(try.folder) {
			continue
		}
		content, err := c.Open(ctx, f, try.file, 0, "")
		if client.IsNotFound(err) {
			continue
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
	return nil, nil
}
