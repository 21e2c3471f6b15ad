package migrate

import (
	"bufio"
	"context"
	"crypto/md5" //nolint:gosec // names of folders, as MLflow makes them
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/kiwerk/kiwerk/internal/blob"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
	"github.com/kiwerk/kiwerk/internal/tracking/store"
	traces "github.com/kiwerk/kiwerk/internal/tracking/traces/store"
)

// ExportOptions of one export. Source and Dir are required.
type ExportOptions struct {
	Source Source
	// Dir becomes a folder as MLflow's file store has it.
	Dir string
	// Namespace is the project that is exported; that store has only one.
	Namespace string
	// Bucket holds the files of mlflow-artifacts: below Prefix; nil leaves them where they are.
	Bucket blob.Bucket
	Prefix string
}

// ExportReport is what an export wrote, and what was there already.
type ExportReport struct {
	Dir         string   `json:"dir"`
	Experiments int64    `json:"experiments"`
	Runs        int64    `json:"runs"`
	Points      int64    `json:"points"`
	Models      int64    `json:"models"`
	Traces      int64    `json:"traces"`
	Registered  int64    `json:"registered"`
	Files       int64    `json:"files"`
	Kept        Kept     `json:"kept"`
	Refused     []string `json:"refused,omitempty"` // keys that no file can have beside others
}

// Kept counts what was there already.
type Kept struct {
	Runs   int64 `json:"runs"`
	Models int64 `json:"models"`
	Traces int64 `json:"traces"`
}

type exporter struct {
	ExportOptions
	// folders of the experiments that are exported.
	folders map[int64]string
	report  *ExportReport
}

// Export writes a folder that stock clients read with MLFLOW_TRACKING_URI=file:….
// A run is written beside its place and renamed, so that one which is there is
// whole: an export that was interrupted goes on. A folder that holds something
// else under the same numbers or names is refused before anything is written ([ErrOccupied]).
func Export(ctx context.Context, o ExportOptions) (*ExportReport, error) {
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, err
	}
	o.Dir = dir
	if o.Namespace == "" {
		o.Namespace = "default"
	}
	x := &exporter{ExportOptions: o, folders: map[int64]string{}, report: &ExportReport{Dir: dir}}
	if err := x.free(ctx); err != nil {
		return x.report, err
	}
	for _, d := range []string{dir, filepath.Join(dir, trash), filepath.Join(dir, "models")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return x.report, err
		}
	}
	for _, step := range []func() error{
		func() error { return o.Source.Experiments(ctx, x.experiment) },
		func() error { return o.Source.Runs(ctx, func(r Run) error { return x.run(ctx, r) }) },
		func() error { return o.Source.Models(ctx, func(m model.LoggedModel) error { return x.model(ctx, m) }) },
		func() error { return o.Source.Registry(ctx, x.registered) },
		func() error {
			if t, ok := o.Source.(Traced); ok {
				return t.Traces(ctx, func(w traces.Whole) error { return x.trace(ctx, w) })
			}
			return nil
		},
	} {
		if err := step(); err != nil {
			return x.report, err
		}
	}
	return x.report, nil
}

func writeMeta(dir string, fields map[string]any) error { return writeYAML(dir, metaFile, fields) }

func writeYAML(dir, name string, fields any) error {
	b, err := yaml.Marshal(fields)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	name = filepath.Join(dir, name)
	if err := os.WriteFile(name+".part", b, 0o644); err != nil { //nolint:gosec // as mlflow writes them; the folder decides who reads
		return err
	}
	return os.Rename(name+".part", name) // never half there: the next export reads it
}

// unset is how missing texts stand in meta.yaml.
func unset(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func unsetTime(n int64) any {
	if n == 0 {
		return nil
	}
	return n
}

// pairs writes each pair as a file; a key that is a folder of another one cannot be written.
func (x *exporter) pairs(dir string, list []model.Pair) error {
	for _, p := range list {
		if err := x.file(dir, p.Key, func(w io.Writer) error { _, err := io.WriteString(w, p.Value); return err }); err != nil {
			return err
		}
	}
	return nil
}

func (x *exporter) file(dir, key string, write func(io.Writer) error) (err error) {
	name := filepath.Join(dir, filepath.FromSlash(key))
	if !filepath.IsLocal(filepath.FromSlash(key)) {
		x.report.Refused = append(x.report.Refused, key)
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		x.report.Refused = append(x.report.Refused, key)
		return nil //nolint:nilerr // a key above this one is a file; the report says so
	}
	f, err := os.Create(name)
	if errors.Is(err, fs.ErrExist) || err != nil && isFolder(name) {
		x.report.Refused = append(x.report.Refused, key)
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := bufio.NewWriter(f)
	return errors.Join(write(w), w.Flush())
}

func isFolder(name string) bool {
	i, err := os.Stat(name)
	return err == nil && i.IsDir()
}

func fileURI(elements ...string) string {
	return (&url.URL{Scheme: "file", Path: filepath.ToSlash(filepath.Join(elements...))}).String()
}

// uri is where the files of an address are after the export.
func (x *exporter) uri(old string, elements ...string) string {
	if x.Bucket == nil || !strings.HasPrefix(old, proxied) {
		return old
	}
	return fileURI(append([]string{x.Dir}, elements...)...)
}

func (x *exporter) experiment(e model.Experiment) error {
	if e.Namespace != x.Namespace {
		return nil
	}
	id := strconv.FormatInt(e.ID, 10)
	dir := filepath.Join(x.Dir, id)
	if e.Deleted {
		dir = filepath.Join(x.Dir, trash, id)
	}
	x.folders[e.ID] = dir
	x.report.Experiments++
	if err := writeMeta(dir, map[string]any{
		"artifact_location": x.uri(e.ArtifactLocation, id), "creation_time": e.Created, "experiment_id": id, "last_update_time": e.Updated,
		"lifecycle_stage": model.Stage(e.Deleted), "name": e.Name,
	}); err != nil {
		return err
	}
	return x.pairs(filepath.Join(dir, "tags"), e.Tags)
}

// whole writes a folder beside its place and renames it.
func (x *exporter) whole(dir string, write func(dir string) error) error {
	part := filepath.Join(x.Dir, trash, ".part")
	if err := os.RemoveAll(part); err != nil {
		return err
	}
	if err := os.MkdirAll(part, 0o755); err != nil {
		return err
	}
	if err := write(part); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	return os.Rename(part, dir)
}

func (x *exporter) run(ctx context.Context, r Run) error {
	experiment, ok := x.folders[r.ExperimentID]
	if !ok {
		return nil
	}
	dir := filepath.Join(experiment, r.ID)
	if isFolder(dir) {
		x.report.Kept.Runs++
		return nil
	}
	if err := x.whole(dir, func(dir string) error { return x.writeRun(ctx, experiment, dir, r) }); err != nil {
		return fmt.Errorf("run %s: %w", r.ID, err)
	}
	x.report.Runs++
	return nil
}

func (x *exporter) writeRun(ctx context.Context, experiment, dir string, r Run) error {
	id := strconv.FormatInt(r.ExperimentID, 10)
	fields := map[string]any{
		"artifact_uri": x.uri(r.ArtifactURI, id, r.ID, "artifacts"), "end_time": unsetTime(r.End), "entry_point_name": "", "experiment_id": id,
		"lifecycle_stage": model.Stage(r.Deleted), "run_id": r.ID, "run_uuid": r.ID, "run_name": r.Name, "source_name": "", "source_type": 4,
		"source_version": "", "start_time": r.Start, "status": int(r.Status), "tags": []string{}, "user_id": r.User,
	}
	if r.DeletedAt != 0 {
		fields["deleted_time"] = r.DeletedAt
	}
	if err := writeMeta(dir, fields); err != nil {
		return err
	}
	for _, sub := range []string{"metrics", "params", "tags", "artifacts"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return err
		}
	}
	return errors.Join(
		x.pairs(filepath.Join(dir, "params"), r.Params), x.pairs(filepath.Join(dir, "tags"), r.Tags),
		x.writePoints(ctx, filepath.Join(dir, "metrics"), r.ID), x.writeLinks(experiment, dir, r),
		x.artifacts(ctx, r.ArtifactURI, filepath.Join(dir, "artifacts")))
}

// writePoints writes a file per metric; the points come metric by metric.
func (x *exporter) writePoints(ctx context.Context, dir, run string) error {
	var key string
	var lines []byte
	flush := func() error {
		if lines == nil {
			return nil
		}
		err := x.file(dir, key, func(w io.Writer) error { _, err := w.Write(lines); return err })
		lines = nil
		return err
	}
	if err := x.Source.Points(ctx, run, func(m model.Metric) error {
		if m.Key != key {
			if err := flush(); err != nil {
				return err
			}
			key = m.Key
		}
		lines = appendPoint(lines, m, "")
		x.report.Points++
		return nil
	}); err != nil {
		return err
	}
	return flush()
}

// appendPoint writes a line as MLflow reads it.
func appendPoint(b []byte, m model.Metric, rest string) []byte {
	b = strconv.AppendInt(b, m.Timestamp, 10)
	b = append(b, ' ')
	if math.IsNaN(m.Value) {
		b = append(b, "nan"...)
	} else {
		b = strconv.AppendFloat(b, m.Value, 'g', -1, 64)
	}
	b = append(b, ' ')
	b = strconv.AppendInt(b, m.Step, 10)
	return append(append(b, rest...), '\n')
}

func digest(parts ...string) string {
	h := md5.New() //nolint:gosec // names of folders, as MLflow makes them
	for _, p := range parts {
		_, _ = io.WriteString(h, p) // a hash never fails
	}
	return hex.EncodeToString(h.Sum(nil))
}

func (x *exporter) writeLinks(experiment, dir string, r Run) error {
	link := func(kind, id, sourceType, source, to string, tags map[string]string, step *int64) error {
		fields := map[string]any{"source_type": sourceType, "source_id": source, "destination_type": to, "destination_id": source, "tags": tags}
		if step != nil {
			fields["step"] = *step
		}
		return writeMeta(filepath.Join(dir, kind, id), fields)
	}
	for _, d := range r.Datasets {
		s := d.Dataset
		id := digest(s.Name, s.Digest)
		tags := map[string]string{}
		for _, t := range d.Tags {
			tags[t.Key] = t.Value
		}
		if err := errors.Join(writeMeta(filepath.Join(experiment, "datasets", id), map[string]any{
			"name": s.Name, "digest": s.Digest, "source_type": s.SourceType, "source": s.Source, "schema": unset(s.Schema), "profile": unset(s.Profile),
		}), link("inputs", digest(id, r.ID), "DATASET", id, "RUN", tags, nil)); err != nil {
			return err
		}
	}
	for _, m := range r.Inputs {
		if err := link("inputs", digest(m, r.ID), "MODEL", m, "RUN", map[string]string{}, nil); err != nil {
			return err
		}
	}
	for _, m := range r.Outputs {
		if err := link("outputs", m.ModelID, "RUN_OUTPUT", m.ModelID, "MODEL_OUTPUT", map[string]string{}, &m.Step); err != nil {
			return err
		}
	}
	return nil
}

// artifacts copies the files of an address of ours.
func (x *exporter) artifacts(ctx context.Context, uri, dir string) error {
	rest, ours := strings.CutPrefix(uri, proxied)
	if !ours || x.Bucket == nil {
		return nil
	}
	return x.folder(ctx, path.Join(x.Prefix, strings.Trim(rest, "/")), dir)
}

func (x *exporter) folder(ctx context.Context, key, dir string) error {
	for info, err := range x.Bucket.List(ctx, key) {
		if err != nil {
			return err
		}
		to := filepath.Join(dir, path.Base(info.Key))
		if info.Folder {
			if err := x.folder(ctx, info.Key, to); err != nil {
				return err
			}
			continue
		}
		if err := x.download(ctx, info.Key, to); err != nil {
			return err
		}
	}
	return nil
}

func (x *exporter) download(ctx context.Context, key, to string) (err error) {
	r, _, err := x.Bucket.Open(ctx, key, 0, -1)
	if err != nil {
		return err
	}
	defer r.Close()
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	f, err := os.Create(to)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	x.report.Files++
	_, err = io.Copy(f, r)
	return err
}

func (x *exporter) model(ctx context.Context, m model.LoggedModel) error {
	experiment, ok := x.folders[m.ExperimentID]
	if !ok {
		return nil
	}
	dir := filepath.Join(experiment, "models", m.ID)
	if isFolder(dir) {
		x.report.Kept.Models++
		return nil
	}
	x.report.Models++
	id := strconv.FormatInt(m.ExperimentID, 10)
	return x.whole(dir, func(dir string) error {
		lines := map[string][]byte{}
		for _, p := range m.Metrics {
			rest := " " + p.RunUUID
			if p.DatasetName != "" {
				rest += " " + p.DatasetName + " " + p.DatasetDigest
			}
			lines[p.Key] = appendPoint(lines[p.Key], p, rest)
		}
		for key, b := range lines {
			if err := x.file(filepath.Join(dir, "metrics"), key, func(w io.Writer) error { _, err := w.Write(b); return err }); err != nil {
				return err
			}
		}
		return errors.Join(writeMeta(dir, map[string]any{
			"artifact_location": x.uri(m.ArtifactURI, id, "models", m.ID, "artifacts"), "creation_timestamp": m.Created, "experiment_id": id,
			"last_updated_timestamp": m.Updated, "lifecycle_stage": model.Stage(m.Deleted), "model_id": m.ID, "model_type": unset(m.Type), "name": m.Name, "source_run_id": unset(m.SourceRun),
			"status": int(m.Status), "status_message": unset(m.StatusMessage),
		}), x.pairs(filepath.Join(dir, "params"), m.Params), x.pairs(filepath.Join(dir, "tags"), m.Tags),
			x.artifacts(ctx, m.ArtifactURI, filepath.Join(dir, "artifacts")))
	})
}

func (x *exporter) registered(m store.Registered) error {
	if m.Namespace != x.Namespace {
		return nil
	}
	x.report.Registered++
	dir := filepath.Join(x.Dir, "models", m.Name)
	if !filepath.IsLocal(m.Name) {
		x.report.Refused = append(x.report.Refused, m.Name)
		return nil
	}
	if err := errors.Join(writeMeta(dir, map[string]any{
		"creation_timestamp": m.Created, "last_updated_timestamp": m.Updated, "name": m.Name, "description": unset(m.Description), "aliases": map[string]string{},
	}), x.pairs(filepath.Join(dir, "tags"), m.Tags)); err != nil {
		return err
	}
	for _, a := range m.Aliases {
		if err := x.pairs(filepath.Join(dir, "aliases"), []model.Pair{{Key: a.Name, Value: strconv.FormatInt(a.Version, 10)}}); err != nil {
			return err
		}
	}
	for _, n := range m.Gone {
		if err := x.version(dir, m, model.ModelVersion{Version: n, Stage: deleted}); err != nil {
			return err
		}
	}
	for _, v := range m.Versions {
		if err := x.version(dir, m, v); err != nil {
			return err
		}
	}
	return nil
}

func (x *exporter) version(dir string, m store.Registered, v model.ModelVersion) error {
	dir = filepath.Join(dir, fmt.Sprintf("version-%d", v.Version))
	place := func(uri string) any {
		if rest, ok := strings.CutPrefix(uri, proxied); ok {
			return unset(x.uri(uri, filepath.FromSlash(strings.Trim(rest, "/"))))
		}
		return unset(uri)
	}
	var description any
	if v.Description != nil {
		description = *v.Description
	}
	return errors.Join(writeMeta(dir, map[string]any{
		"creation_timestamp": v.Created, "current_stage": v.Stage, "description": description, "last_updated_timestamp": v.Updated, "model_id": unset(v.ModelID),
		"name": m.Name, "run_id": unset(v.RunID), "run_link": unset(v.RunLink), "source": place(v.Source), "storage_location": place(v.StorageLocation),
		"status": "READY", "status_message": nil, "user_id": unset(v.User), "version": v.Version,
	}), x.pairs(filepath.Join(dir, "tags"), v.Tags))
}
