package migrate

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/kiwerk/kiwerk/internal/tracking/model"
	"github.com/kiwerk/kiwerk/internal/tracking/store"
)

// Names in a folder of MLflow's file store.
const (
	metaFile = "meta.yaml"
	trash    = ".trash"
	deleted  = "Deleted_Internal"
)

// Files is a folder mlruns. It is only read.
type Files struct {
	root *os.Root
	fsys fs.FS
	// where the runs that were seen lie.
	where map[string]string
}

// OpenFiles opens a folder mlruns.
func OpenFiles(dir string) (*Files, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	f := &Files{root: root, fsys: root.FS(), where: map[string]string{}}
	found, err := f.experimentFolders()
	if err == nil && len(found) == 0 {
		err = fmt.Errorf("%w: %s has no folder of an experiment with a %s, so it is no mlruns", ErrUnsupported, dir, metaFile)
	}
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return f, nil
}

// Close ends the reading.
func (f *Files) Close() error { return f.root.Close() }

// meta is the content of a meta.yaml. Its values may be quoted or not.
type meta map[string]any

func parseMeta(b []byte) (m meta, err error) {
	if err := yaml.Unmarshal(b, &m); err != nil {
		return nil, err
	}
	if m == nil {
		return nil, errors.New("no fields")
	}
	return m, nil
}

func (f *Files) meta(dir string) (meta, error) {
	b, err := fs.ReadFile(f.fsys, path.Join(dir, metaFile))
	if err != nil {
		return nil, err
	}
	m, err := parseMeta(b)
	if err != nil {
		return nil, fmt.Errorf("%s/%s: %w", dir, metaFile, err)
	}
	return m, nil
}

func (m meta) text(name string) string {
	switch v := m[name].(type) {
	case nil:
		return ""
	case string:
		return v
	default:
		return fmt.Sprint(v)
	}
}

// number of a field, or 0 where it is missing.
func (m meta) number(name string) (int64, error) {
	text := m.text(name)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s: %q is no whole number", name, text)
	}
	return n, nil
}

// numbers reads several fields.
func (m meta) numbers(to map[string]*int64) (err error) {
	for name, n := range to {
		if *n, err = m.number(name); err != nil {
			return err
		}
	}
	return nil
}

func (f *Files) folders(dir string) (list []string, err error) {
	entries, err := fs.ReadDir(f.fsys, dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for _, e := range entries {
		if e.IsDir() {
			list = append(list, path.Join(dir, e.Name()))
		}
	}
	return list, err
}

func (f *Files) experimentFolders() (list []string, err error) {
	for _, top := range []string{".", trash} {
		all, err := f.folders(top)
		if err != nil {
			return nil, err
		}
		for _, dir := range all {
			base := path.Base(dir)
			if _, err := strconv.ParseInt(base, 10, 64); err == nil && f.exists(path.Join(dir, metaFile)) {
				list = append(list, dir)
			}
		}
	}
	return list, nil
}

func (f *Files) exists(name string) bool {
	_, err := fs.Stat(f.fsys, name)
	return err == nil
}

// pairs are the files below a folder: the path is the key, the content the value.
func (f *Files) pairs(dir string) (list []model.Pair, err error) {
	err = f.each(dir, func(key, name string) error {
		b, err := fs.ReadFile(f.fsys, name)
		list = append(list, model.Pair{Key: key, Value: string(b)})
		return err
	})
	return list, err
}

func (f *Files) each(dir string, fn func(key, name string) error) error {
	if !f.exists(dir) {
		return nil
	}
	return fs.WalkDir(f.fsys, dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		return fn(strings.TrimPrefix(name, dir+"/"), name)
	})
}

// Experiments implements [Source].
func (f *Files) Experiments(_ context.Context, fn func(model.Experiment) error) error {
	list, err := f.experimentFolders()
	if err != nil {
		return err
	}
	for _, dir := range list {
		m, err := f.meta(dir)
		if err != nil {
			return err
		}
		e := model.Experiment{Namespace: namespaceOf(m), Name: m.text("name"), ArtifactLocation: m.text("artifact_location"), Deleted: m.text("lifecycle_stage") == "deleted"}
		if err := m.numbers(map[string]*int64{"experiment_id": &e.ID, "creation_time": &e.Created, "last_update_time": &e.Updated}); err != nil {
			return fmt.Errorf("%s/%s: %w", dir, metaFile, err)
		}
		if e.Tags, err = f.pairs(path.Join(dir, "tags")); err != nil {
			return err
		}
		if err := fn(e); err != nil {
			return err
		}
	}
	return nil
}

func namespaceOf(m meta) string {
	if w := m.text("workspace"); w != "" {
		return w
	}
	return "default"
}

// Runs implements [Source].
func (f *Files) Runs(ctx context.Context, fn func(Run) error) error {
	experiments, err := f.experimentFolders()
	if err != nil {
		return err
	}
	for _, e := range experiments {
		list, err := f.folders(e)
		if err != nil {
			return err
		}
		for _, dir := range list {
			if err := ctx.Err(); err != nil {
				return err
			}
			if slices.Contains([]string{"tags", "datasets", "traces", "models"}, path.Base(dir)) || !f.exists(path.Join(dir, metaFile)) {
				continue
			}
			r, err := f.run(dir)
			if err != nil {
				return fmt.Errorf("%s: %w", dir, err)
			}
			f.where[r.ID] = dir
			if err := fn(r); err != nil {
				return err
			}
		}
	}
	return nil
}

func (f *Files) run(dir string) (r Run, err error) {
	m, err := f.meta(dir)
	if err != nil {
		return r, err
	}
	if r.ID = m.text("run_id"); r.ID == "" {
		r.ID = m.text("run_uuid")
	}
	r.Name, r.User, r.ArtifactURI, r.Deleted = m.text("run_name"), m.text("user_id"), m.text("artifact_uri"), m.text("lifecycle_stage") == "deleted"
	var status int64
	if err := m.numbers(map[string]*int64{
		"experiment_id": &r.ExperimentID, "start_time": &r.Start, "end_time": &r.End, "deleted_time": &r.DeletedAt, "status": &status,
	}); err != nil {
		return r, err
	}
	if r.ID == "" || !r.Status.SetNumber(status) {
		return r, fmt.Errorf("%s has no run_id, or status %d which is none", metaFile, status)
	}
	if r.Params, err = f.pairs(path.Join(dir, "params")); err != nil {
		return r, err
	}
	if r.Tags, err = f.pairs(path.Join(dir, "tags")); err != nil {
		return r, err
	}
	for _, t := range r.Tags {
		if t.Key == model.TagRunName && r.Name == "" {
			r.Name = t.Value
		}
	}
	return r, f.links(dir, &r)
}

// links reads inputs and outputs.
func (f *Files) links(dir string, r *Run) error {
	for _, kind := range []string{"inputs", "outputs"} {
		list, err := f.folders(path.Join(dir, kind))
		if err != nil {
			return err
		}
		for _, link := range list {
			m, err := f.meta(link)
			if err != nil {
				return err
			}
			if err := f.link(path.Dir(dir), kind, m, r); err != nil {
				return fmt.Errorf("%s: %w", link, err)
			}
		}
	}
	return nil
}

func (f *Files) link(experiment, kind string, m meta, r *Run) error {
	id := m.text("source_id")
	if kind == "outputs" {
		step, err := m.number("step")
		r.Outputs = append(r.Outputs, model.ModelOutput{ModelID: id, Step: step})
		return err
	}
	if m.text("source_type") == "MODEL" {
		r.Inputs = append(r.Inputs, id)
		return nil
	}
	d, err := f.meta(path.Join(experiment, "datasets", path.Base(id)))
	if err != nil {
		return err
	}
	in := model.DatasetInput{Dataset: model.Dataset{
		Name: d.text("name"), Digest: d.text("digest"), SourceType: d.text("source_type"), Source: d.text("source"), Schema: d.text("schema"), Profile: d.text("profile"),
	}}
	if tags, ok := m["tags"].(meta); ok { // maps below are of the type of the outermost one
		for k := range tags {
			in.Tags = append(in.Tags, model.Pair{Key: k, Value: tags.text(k)})
		}
	}
	r.Datasets = append(r.Datasets, in)
	return nil
}

// Points implements [Source], for runs that Runs has yielded.
func (f *Files) Points(_ context.Context, run string, fn func(model.Metric) error) error {
	return f.points(path.Join(f.where[run], "metrics"), false, fn)
}

// points leaves out what a file says twice: MLflow writes the last point of
// each metric again when a run logs a model.
func (f *Files) points(dir string, ofModel bool, fn func(model.Metric) error) error {
	return f.each(dir, func(key, name string) error {
		seen := map[place]bool{}
		file, err := f.fsys.Open(name)
		if err != nil {
			return err
		}
		defer file.Close()
		if err := eachLine(file, func(line string) error {
			m, err := parsePoint(line, ofModel)
			if err != nil {
				return err
			}
			at := placeOf(m, ofModel)
			if seen[at] {
				return nil
			}
			seen[at] = true
			m.Key = key
			return fn(m)
		}); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	})
}

// place is what tells the points of a metric apart.
type place struct {
	timestamp, step int64
	value           uint64
	of              string
}

func placeOf(m model.Metric, ofModel bool) place {
	value, nan := model.Sanitize(m.Value)
	if nan {
		value = math.NaN()
	}
	p := place{timestamp: m.Timestamp, step: m.Step, value: math.Float64bits(value + 0)} // + 0 makes -0 a 0
	if ofModel {
		p.of = m.RunUUID + "\x00" + m.DatasetName + "\x00" + m.DatasetDigest
	}
	return p
}

func eachLine(r io.Reader, fn func(string) error) error {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		if line := strings.TrimSpace(lines.Text()); line != "" {
			if err := fn(line); err != nil {
				return err
			}
		}
	}
	return lines.Err()
}

// parsePoint reads "time value [step [run] [name digest]]"; the run stands in files of models only.
func parsePoint(line string, ofModel bool) (m model.Metric, err error) {
	parts := strings.Split(line, " ")
	if len(parts) < 2 {
		return m, fmt.Errorf("line %q has no time and value", line)
	}
	if m.Timestamp, err = strconv.ParseInt(parts[0], 10, 64); err != nil {
		return m, fmt.Errorf("line %q: the time is no whole number", line)
	}
	if m.Value, err = strconv.ParseFloat(parts[1], 64); err != nil && !errors.Is(err, strconv.ErrRange) {
		return m, fmt.Errorf("line %q: the value is no number", line)
	}
	rest := parts[2:]
	if len(rest) > 0 {
		if m.Step, err = strconv.ParseInt(rest[0], 10, 64); err != nil {
			return m, fmt.Errorf("line %q: the step is no whole number", line)
		}
		rest = rest[1:]
	}
	if ofModel && len(rest) > 0 {
		m.RunUUID, rest = rest[0], rest[1:]
	}
	if n := len(rest); n > 1 { // a name may have spaces, a digest has none
		m.DatasetName, m.DatasetDigest = strings.Join(rest[:n-1], " "), rest[n-1]
	} else if n == 1 {
		return m, fmt.Errorf("line %q has a data set without a digest", line)
	}
	return m, nil
}

// Models implements [Source].
func (f *Files) Models(_ context.Context, fn func(model.LoggedModel) error) error {
	experiments, err := f.experimentFolders()
	if err != nil {
		return err
	}
	for _, e := range experiments {
		list, err := f.folders(path.Join(e, "models"))
		if err != nil {
			return err
		}
		for _, dir := range list {
			if !f.exists(path.Join(dir, metaFile)) {
				continue
			}
			m, err := f.model(dir)
			if err != nil {
				return fmt.Errorf("%s: %w", dir, err)
			}
			if err := fn(m); err != nil {
				return err
			}
		}
	}
	return nil
}

func (f *Files) model(dir string) (m model.LoggedModel, err error) {
	y, err := f.meta(dir)
	if err != nil {
		return m, err
	}
	m = model.LoggedModel{
		ID: y.text("model_id"), Name: y.text("name"), Type: y.text("model_type"), SourceRun: y.text("source_run_id"), ArtifactURI: y.text("artifact_location"),
		StatusMessage: y.text("status_message"), Deleted: y.text("lifecycle_stage") == "deleted",
	}
	var status int64
	if err := y.numbers(map[string]*int64{
		"experiment_id": &m.ExperimentID, "creation_timestamp": &m.Created, "last_updated_timestamp": &m.Updated, "status": &status,
	}); err != nil {
		return m, err
	}
	m.Status = model.LoggedModelStatus(status)
	if m.Params, err = f.pairs(path.Join(dir, "params")); err != nil {
		return m, err
	}
	if m.Tags, err = f.pairs(path.Join(dir, "tags")); err != nil {
		return m, err
	}
	return m, f.points(path.Join(dir, "metrics"), true, func(p model.Metric) error {
		p.ModelID = m.ID
		m.Metrics = append(m.Metrics, p)
		return nil
	})
}

// Registry implements [Source].
func (f *Files) Registry(_ context.Context, fn func(store.Registered) error) error {
	list, err := f.folders("models")
	if err != nil {
		return err
	}
	for _, dir := range list {
		if !f.exists(path.Join(dir, metaFile)) {
			continue
		}
		m, err := f.registered(dir)
		if err != nil {
			return fmt.Errorf("%s: %w", dir, err)
		}
		if err := fn(m); err != nil {
			return err
		}
	}
	return nil
}

func (f *Files) registered(dir string) (m store.Registered, err error) {
	y, err := f.meta(dir)
	if err != nil {
		return m, err
	}
	m.Namespace, m.Name, m.Description = namespaceOf(y), y.text("name"), y.text("description")
	if err := y.numbers(map[string]*int64{"creation_timestamp": &m.Created, "last_updated_timestamp": &m.Updated}); err != nil {
		return m, err
	}
	if m.Tags, err = f.pairs(path.Join(dir, "tags")); err != nil {
		return m, err
	}
	list, err := f.folders(dir)
	if err != nil {
		return m, err
	}
	there := map[int64]bool{}
	for _, sub := range list {
		if !strings.HasPrefix(path.Base(sub), "version-") {
			continue
		}
		v, err := f.version(sub, m.Name)
		if err != nil {
			return m, err
		}
		if v.Stage == deleted {
			m.Gone = append(m.Gone, v.Version)
			continue
		}
		there[v.Version] = true
		m.Versions = append(m.Versions, v)
	}
	slices.Sort(m.Gone)
	slices.SortFunc(m.Versions, func(a, b model.ModelVersion) int { return int(a.Version - b.Version) })
	aliases, err := f.pairs(path.Join(dir, "aliases"))
	if err != nil {
		return m, err
	}
	for _, a := range aliases {
		n, err := strconv.ParseInt(strings.TrimSpace(a.Value), 10, 64)
		if err != nil {
			return m, fmt.Errorf("alias %s: %q is no version", a.Key, a.Value)
		}
		if there[n] {
			m.Aliases = append(m.Aliases, model.Alias{Name: a.Key, Version: n})
		}
	}
	return m, nil
}

func (f *Files) version(dir, name string) (v model.ModelVersion, err error) {
	y, err := f.meta(dir)
	if err != nil {
		return v, err
	}
	v = model.ModelVersion{
		Name: name, User: y.text("user_id"), Stage: y.text("current_stage"), Source: y.text("source"), StorageLocation: y.text("storage_location"),
		RunID: y.text("run_id"), RunLink: y.text("run_link"), ModelID: y.text("model_id"),
	}
	if y["description"] != nil {
		d := y.text("description")
		v.Description = &d
	}
	if v.Stage == "" {
		v.Stage = "None"
	}
	if err := y.numbers(map[string]*int64{"version": &v.Version, "creation_timestamp": &v.Created, "last_updated_timestamp": &v.Updated}); err != nil {
		return v, err
	}
	v.Tags, err = f.pairs(path.Join(dir, "tags"))
	return v, err
}
