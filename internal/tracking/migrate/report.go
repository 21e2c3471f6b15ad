package migrate

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math"
	"slices"

	"github.com/kiwerk/kiwerk/internal/tracking/model"
	"github.com/kiwerk/kiwerk/internal/tracking/store"
)

// Tally counts things of one kind and sums their hashes, so that two sides
// compare without regard to order.
type Tally struct {
	Count int64  `json:"count"`
	Sum   uint64 `json:"sum"`
}

func (t *Tally) add(parts ...any) {
	h := fnv.New64a()
	fmt.Fprintf(h, "%#v", parts) // strings, numbers and lists of them: no addresses
	t.Count++
	t.Sum += h.Sum64()
}

// point is add for what there are millions of.
func (t *Tally) point(run string, m model.Metric) {
	h := fnv.New64a()
	value, nan := model.Sanitize(m.Value)
	b := make([]byte, 0, 160)
	b = append(append(append(append(b, run...), 0), m.Key...), 0)
	b = binary.LittleEndian.AppendUint64(b, uint64(m.Timestamp)) //nolint:gosec // only hashed
	b = binary.LittleEndian.AppendUint64(b, uint64(m.Step))      //nolint:gosec // only hashed
	b = binary.LittleEndian.AppendUint64(b, math.Float64bits(value))
	if nan {
		b = append(b, 1)
	}
	_, _ = h.Write(b) // a hash never fails
	t.Count++
	t.Sum += h.Sum64()
}

// Kinds that are counted, in the order of the report.
var Kinds = []string{"experiments", "runs", "metrics", "params", "tags", "inputs", "logged models", "registered models", "model versions", "aliases", "traces", "spans", "assessments", "evaluation datasets", "evaluation records", "scorers", "issues"}

// side is what one side has.
type side map[string]*Tally

func newSide() side {
	s := side{}
	for _, k := range Kinds {
		s[k] = &Tally{}
	}
	return s
}

func sorted(list []model.Pair) []model.Pair {
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b model.Pair) int {
		if a.Key != b.Key {
			return compare(a.Key, b.Key)
		}
		return compare(a.Value, b.Value)
	})
	return list
}

func compare(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func (s side) experiment(e model.Experiment) {
	s["experiments"].add(e.ID, e.Namespace, e.Name, e.Deleted, sorted(e.Tags))
}

func (s side) run(r Run) {
	s["runs"].add(r.ID, r.ExperimentID, r.Name, r.User, r.Status, r.Start, r.End, r.Deleted, r.DeletedAt)
	for _, p := range r.Params {
		s["params"].add(r.ID, p)
	}
	for _, t := range r.Tags {
		s["tags"].add(r.ID, t)
	}
	for _, d := range r.Datasets {
		s["inputs"].add(r.ID, d.Dataset, sorted(d.Tags))
	}
	for _, m := range r.Inputs {
		s["inputs"].add(r.ID, m)
	}
	for _, m := range r.Outputs {
		s["inputs"].add(r.ID, m)
	}
}

func (s side) model(m model.LoggedModel) {
	points := Tally{}
	for _, p := range m.Metrics {
		points.point(p.RunUUID+p.DatasetName+p.DatasetDigest, p)
	}
	s["logged models"].add(m.ID, m.ExperimentID, m.Name, m.Type, m.SourceRun, m.Status, m.Created, m.Updated, m.Deleted, sorted(m.Params), sorted(m.Tags), points.Count, points.Sum)
}

func (s side) registered(m store.Registered) {
	s["registered models"].add(m.Namespace, m.Name, m.Description, m.Created, m.Updated, sorted(m.Tags), m.Gone)
	for _, v := range m.Versions {
		description := ""
		if v.Description != nil {
			description = *v.Description
		}
		s["model versions"].add(m.Namespace, m.Name, v.Version, v.Created, v.Updated, v.User, v.Stage, description, v.RunID, v.RunLink, sorted(v.Tags))
	}
	for _, a := range m.Aliases {
		s["aliases"].add(m.Namespace, m.Name, a.Name, a.Version)
	}
}

// only limits a side to what the other one has.
type only struct {
	experiments           map[int64]bool
	runs, models, entries map[string]bool
	traces, evaluation    map[string]bool
}

func newOnly() *only {
	return &only{map[int64]bool{}, map[string]bool{}, map[string]bool{}, map[string]bool{}, map[string]bool{}, map[string]bool{}}
}

// take reads all of a source. With o empty it notes what there is, else it looks at nothing else.
func take(ctx context.Context, src Source, o *only, note bool) (side, error) {
	s := newSide()
	if err := src.Experiments(ctx, func(e model.Experiment) error {
		if note {
			o.experiments[e.ID] = true
		}
		if o.experiments[e.ID] {
			s.experiment(e)
		}
		return nil
	}); err != nil {
		return nil, err
	}
	var ids []string
	if err := src.Runs(ctx, func(r Run) error {
		if note {
			o.runs[r.ID] = true
		}
		if o.runs[r.ID] {
			s.run(r)
			ids = append(ids, r.ID)
		}
		return nil
	}); err != nil {
		return nil, err
	}
	for _, id := range ids {
		if err := src.Points(ctx, id, func(m model.Metric) error { s["metrics"].point(id, m); return nil }); err != nil {
			return nil, err
		}
	}
	if err := takeModels(ctx, src, s, o, note); err != nil {
		return nil, err
	}
	if err := takeTraces(ctx, src, s, o, note); err != nil {
		return nil, err
	}
	return s, takeEvaluation(ctx, src, s, o, note)
}

func takeModels(ctx context.Context, src Source, s side, o *only, note bool) error {
	if err := src.Models(ctx, func(m model.LoggedModel) error {
		if note {
			o.models[m.ID] = true
		}
		if o.models[m.ID] {
			s.model(m)
		}
		return nil
	}); err != nil {
		return err
	}
	return src.Registry(ctx, func(m store.Registered) error {
		id := m.Namespace + "/" + m.Name
		if note {
			o.entries[id] = true
		}
		if o.entries[id] {
			s.registered(m)
		}
		return nil
	})
}

// Line compares one kind.
type Line struct {
	Kind   string `json:"kind"`
	Source Tally  `json:"source"`
	Here   Tally  `json:"here"`
	Same   bool   `json:"same"`
	// Unread: the source may have more of them than it tells; nothing was compared.
	Unread bool `json:"unread,omitempty"`
}

// Partial is a source that does not tell all kinds.
type Partial interface {
	// Unread are those of [Kinds] that it does not tell.
	Unread() []string
}

// Report is what an import did.
type Report struct {
	Source    string         `json:"source"`
	DryRun    bool           `json:"dryRun"`
	Lines     []Line         `json:"lines"`
	Artifacts ArtifactReport `json:"artifacts"`
	// Scorers stay behind, NAME (EXPERIMENT): they are code, or ask what is not served here.
	Scorers []string `json:"scorers,omitempty"`
}

// ArtifactReport counts files.
type ArtifactReport struct {
	Mode   string `json:"mode"`
	Copied int64  `json:"copied"`
	Kept   int64  `json:"kept"` // were here already with the same content
	Bytes  int64  `json:"bytes"`
	// Elsewhere are runs, models and traces whose files lie where they cannot be copied from.
	Elsewhere int64 `json:"elsewhere"`
	// Missing are runs and models whose files are not where the source says: its folder was moved.
	Missing int64 `json:"missing"`
	// Refused are files whose names could climb out of a folder; they stay behind.
	Refused []string `json:"refused,omitempty"`
}

// Same tells whether both sides have the same of all that was read.
func (r *Report) Same() bool {
	for _, l := range r.Lines {
		if !l.Same && !l.Unread {
			return false
		}
	}
	return true
}

func linesOf(src Source, source, here side) (list []Line) {
	var unread []string
	if p, ok := src.(Partial); ok {
		unread = p.Unread()
	}
	for _, k := range Kinds {
		l := Line{Kind: k, Source: *source[k], Unread: slices.Contains(unread, k)}
		if here != nil && !l.Unread {
			l.Here, l.Same = *here[k], *here[k] == *source[k]
		}
		list = append(list, l)
	}
	return list
}
