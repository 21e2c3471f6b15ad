package migrate

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"

	"go.yaml.in/yaml/v3"

	"github.com/kiwerk/kiwerk/internal/tracking/model"
	wire "github.com/kiwerk/kiwerk/internal/tracking/traces"
	traces "github.com/kiwerk/kiwerk/internal/tracking/traces/store"
)

// Names in the folder of a trace. The last one is ours: MLflow's file store has no such links.
const (
	traceFolder     = "traces"
	traceFile       = "trace_info.yaml"
	traceMetadata   = "request_metadata"
	traceAssessment = "assessments"
	traceData       = "artifacts/traces.json"
	traceLinks      = "links.yaml"
)

// Traces implements [Traced].
func (f *Files) Traces(ctx context.Context, fn func(traces.Whole) error) error {
	experiments, err := f.experimentFolders()
	if err != nil {
		return err
	}
	for _, e := range experiments {
		m, err := f.meta(e)
		if err != nil {
			return err
		}
		list, err := f.folders(path.Join(e, traceFolder))
		if err != nil {
			return err
		}
		for _, dir := range list {
			if err := ctx.Err(); err != nil {
				return err
			}
			if !f.exists(path.Join(dir, traceFile)) {
				continue
			}
			w, err := f.trace(dir)
			if err != nil {
				return fmt.Errorf("%s: %w", dir, err)
			}
			w.Namespace = namespaceOf(m)
			if err := fn(w); err != nil {
				return err
			}
		}
	}
	return nil
}

// json is a file of YAML as JSON.
func (f *Files) json(name string) ([]byte, meta, error) {
	b, err := fs.ReadFile(f.fsys, name)
	if err != nil {
		return nil, nil, err
	}
	m, err := parseMeta(b)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path.Base(name), err)
	}
	b, err = json.Marshal(m)
	return b, m, err
}

func (f *Files) trace(dir string) (w traces.Whole, err error) {
	b, m, err := f.json(path.Join(dir, traceFile))
	if err != nil {
		return w, err
	}
	if w.Info, err = wire.ParseInfo(b); err != nil {
		return w, err
	}
	if m["execution_duration_ms"] != nil {
		n, err := m.number("execution_duration_ms")
		if err != nil {
			return w, err
		}
		w.Duration = &n
	}
	for sub, into := range map[string]map[string]string{traceMetadata: w.Metadata, "tags": w.Tags} {
		list, err := f.pairs(path.Join(dir, sub))
		if err != nil {
			return w, err
		}
		for _, p := range list {
			into[p.Key] = p.Value
		}
	}
	if err := f.each(path.Join(dir, traceAssessment), func(key, name string) error {
		b, _, err := f.json(name)
		if err != nil {
			return err
		}
		a, err := wire.ParseAssessment(b)
		if err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		w.Assessments = append(w.Assessments, a)
		return nil
	}); err != nil {
		return w, err
	}
	return w, f.traceRest(dir, &w)
}

// traceRest reads spans and links.
func (f *Files) traceRest(dir string, w *traces.Whole) error {
	data, err := fs.ReadFile(f.fsys, path.Join(dir, traceData))
	if err == nil {
		takeSpans(w, data)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	b, err := fs.ReadFile(f.fsys, path.Join(dir, traceLinks))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var l linked
	if err := yaml.Unmarshal(b, &l); err != nil {
		return fmt.Errorf("%s: %w", traceLinks, err)
	}
	w.Runs, w.Prompts = l.Runs, l.Prompts
	return nil
}

// linked is the content of links.yaml.
type linked struct {
	Runs    []string `yaml:"runs,omitempty"`
	Prompts []string `yaml:"prompts,omitempty"`
}

// trace writes the folder of a trace.
func (x *exporter) trace(ctx context.Context, w traces.Whole) error {
	experiment, ok := x.folders[w.Experiment]
	if !ok || w.Namespace != x.Namespace {
		return nil
	}
	if !filepath.IsLocal(w.ID) || path.Base(w.ID) != w.ID {
		x.report.Refused = append(x.report.Refused, w.ID)
		return nil
	}
	dir := filepath.Join(experiment, traceFolder, w.ID)
	if isFolder(dir) {
		x.report.Kept.Traces++
		return nil
	}
	if err := x.whole(dir, func(dir string) error { return x.writeTrace(ctx, dir, w) }); err != nil {
		return fmt.Errorf("trace %s: %w", w.ID, err)
	}
	x.report.Traces++
	return nil
}

func (x *exporter) writeTrace(ctx context.Context, dir string, w traces.Whole) error {
	location, id := w.Tags[traces.TagLocation], strconv.FormatInt(w.Experiment, 10)
	inStore := w.Tags[traces.TagSpansLocation] == traces.InStore
	if inStore { // clients look for the spans where this tag leads
		w.Tags[traces.TagSpansLocation] = traces.InFiles
		w.Tags[traces.TagLocation] = fileURI(x.Dir, id, traceFolder, w.ID, "artifacts")
	} else if location != "" {
		w.Tags[traces.TagLocation] = x.uri(location, id, traceFolder, w.ID, "artifacts")
	}
	fields := map[string]any{}
	info := w.Info
	info.Assessments, info.Duration = nil, nil
	if err := json.Unmarshal(wire.InfoJSON(info), &fields); err != nil {
		return err
	}
	delete(fields, "trace_metadata")
	delete(fields, "tags")
	if w.Duration != nil {
		fields["execution_duration_ms"] = *w.Duration
	}
	if err := errors.Join(
		writeYAML(dir, traceFile, fields),
		x.pairs(filepath.Join(dir, traceMetadata), pairsOf(w.Metadata)), x.pairs(filepath.Join(dir, "tags"), pairsOf(w.Tags)),
		x.artifacts(ctx, location, filepath.Join(dir, "artifacts"))); err != nil {
		return err
	}
	for _, a := range w.Assessments {
		if err := x.assessment(filepath.Join(dir, traceAssessment), a); err != nil {
			return err
		}
	}
	if inStore {
		if err := x.file(dir, traceData, func(out io.Writer) error { return writeSpans(out, w.Spans) }); err != nil {
			return err
		}
	}
	if len(w.Runs)+len(w.Prompts) == 0 {
		return nil
	}
	slices.Sort(w.Runs)
	slices.Sort(w.Prompts)
	return writeYAML(dir, traceLinks, linked{w.Runs, w.Prompts})
}

func (x *exporter) assessment(dir string, a traces.Assessment) error {
	if !filepath.IsLocal(a.ID) || path.Base(a.ID) != a.ID {
		x.report.Refused = append(x.report.Refused, a.ID)
		return nil
	}
	var fields map[string]any
	if err := json.Unmarshal(wire.AssessmentJSON(a), &fields); err != nil {
		return err
	}
	return writeYAML(dir, a.ID+".yaml", fields)
}

// writeSpans writes the file traces.json; contents stay as they are.
func writeSpans(w io.Writer, list []traces.StoredSpan) error {
	contents := make([][]byte, len(list))
	for i, s := range list {
		contents[i] = []byte(s.Content)
	}
	_, err := fmt.Fprintf(w, `{"spans": [%s]}`, bytes.Join(contents, []byte(", ")))
	return err
}

func pairsOf(m map[string]string) (list []model.Pair) {
	for k, v := range m {
		list = append(list, model.Pair{Key: k, Value: v})
	}
	return sorted(list)
}
