package migrate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"

	db "github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/tracking/genai"
	"github.com/kiwerk/kiwerk/internal/tracking/store"
	traces "github.com/kiwerk/kiwerk/internal/tracking/traces/store"
)

// Evaluated is a source that has evaluation datasets, scorers and issues. One
// without a Doc is a scorer that is not taken here.
type Evaluated interface {
	Evaluation(ctx context.Context, fn func(genai.Whole) error) error
}

// Evaluation implements [Evaluated].
func (d *Database) Evaluation(ctx context.Context, fn func(genai.Whole) error) error {
	for table, read := range map[string]func(context.Context, func(genai.Whole) error) error{
		"evaluation_datasets": d.datasets, "scorers": d.scorers, "issues": d.issues,
	} {
		if !d.has(table) {
			continue
		}
		if err := read(ctx, fn); err != nil {
			return fmt.Errorf("%s: %w", table, err)
		}
	}
	return nil
}

func (d *Database) datasets(ctx context.Context, fn func(genai.Whole) error) error {
	var list []genai.MovedDataset
	if err := d.query(ctx, "SELECT dataset_id, name, coalesce(digest, ''), coalesce(schema, ''), coalesce(created_time, 0), coalesce(last_update_time, 0), coalesce(created_by, ''), coalesce(last_updated_by, ''), "+
		d.column("evaluation_datasets", "workspace", "'default'")+" FROM evaluation_datasets ORDER BY dataset_id", func(scan func(...any) error) error {
		var m genai.MovedDataset
		err := scan(&m.ID, &m.Name, &m.Digest, &m.Schema, &m.Created, &m.Updated, &m.CreatedBy, &m.UpdatedBy, &m.Namespace)
		list = append(list, m)
		return err
	}); err != nil {
		return err
	}
	for _, m := range list {
		if err := d.fillDataset(ctx, &m); err != nil {
			return err
		}
		w, err := m.Whole()
		if err != nil {
			return fmt.Errorf("%s: %w", m.ID, err)
		}
		if err := fn(w); err != nil {
			return err
		}
	}
	return nil
}

func (d *Database) fillDataset(ctx context.Context, m *genai.MovedDataset) error {
	tags, err := d.pairs(ctx, "SELECT key, coalesce(value, '') FROM evaluation_dataset_tags WHERE dataset_id = ?", m.ID)
	if err != nil {
		return err
	}
	m.Tags = map[string]string{}
	for _, t := range tags {
		m.Tags[t.Key] = t.Value
	}
	if err := d.experimentsOf(ctx, m); err != nil {
		return err
	}
	part := func(name string) string {
		return "coalesce(CAST(" + d.column("evaluation_dataset_records", name, "NULL") + " AS TEXT), '')"
	}
	return d.query(ctx, "SELECT dataset_record_id, "+part("inputs")+", "+part("outputs")+", "+part("expectations")+", "+part("tags")+", "+part("source")+
		`, coalesce(source_id, ''), coalesce(source_type, ''), coalesce(created_time, 0), coalesce(last_update_time, 0), coalesce(created_by, ''), coalesce(last_updated_by, '')
		FROM evaluation_dataset_records WHERE dataset_id = ? ORDER BY dataset_record_id`, func(scan func(...any) error) error {
		var r genai.MovedRecord
		if err := scan(&r.ID, &r.Inputs, &r.Outputs, &r.Expectations, &r.Tags, &r.Source, &r.SourceID, &r.SourceType, &r.Created, &r.Updated, &r.CreatedBy, &r.UpdatedBy); err != nil {
			return err
		}
		r.Outputs = unwrapped(r.Outputs)
		m.Records = append(m.Records, r)
		return nil
	}, m.ID)
}

// experimentsOf a dataset.
func (d *Database) experimentsOf(ctx context.Context, m *genai.MovedDataset) error {
	if !d.has("entity_associations") {
		return nil
	}
	return d.query(ctx, `SELECT destination_id FROM entity_associations WHERE source_type = 'evaluation_dataset' AND source_id = ? AND destination_type = 'experiment'
		ORDER BY destination_id`, func(scan func(...any) error) error {
		var id string
		err := scan(&id)
		m.Experiments = append(m.Experiments, id)
		return err
	}, m.ID)
}

// unwrapped outputs: MLflow keeps them as the only field of an object.
func unwrapped(text string) string {
	var wrapped map[string]json.RawMessage
	if json.Unmarshal([]byte(text), &wrapped) == nil && wrapped["mlflow_wrapped"] != nil {
		return string(wrapped["mlflow_wrapped"])
	}
	return text
}

// workspaceOf the experiment e.
func (d *Database) workspaceOf() string {
	if slices.Contains(d.columns["experiments"], "workspace") {
		return "coalesce(e.workspace, 'default')"
	}
	return "'default'"
}

func (d *Database) scorers(ctx context.Context, fn func(genai.Whole) error) error {
	var list []genai.MovedScorer
	if err := d.query(ctx, "SELECT s.scorer_id, s.scorer_name, s.experiment_id, "+d.workspaceOf()+
		" FROM scorers s JOIN experiments e ON e.experiment_id = s.experiment_id ORDER BY s.scorer_id", func(scan func(...any) error) error {
		var m genai.MovedScorer
		err := scan(&m.ID, &m.Name, &m.Experiment, &m.Namespace)
		list = append(list, m)
		return err
	}); err != nil {
		return err
	}
	for _, m := range list {
		if err := d.query(ctx, "SELECT scorer_version, serialized_scorer, coalesce(creation_time, 0) FROM scorer_versions WHERE scorer_id = ? ORDER BY scorer_version", func(scan func(...any) error) error {
			var v genai.MovedVersion
			err := scan(&v.Version, &v.Text, &v.Created)
			m.Versions = append(m.Versions, v)
			return err
		}, m.ID); err != nil {
			return err
		}
		if d.has("online_scoring_configs") {
			if err := d.query(ctx, "SELECT online_scoring_config_id, sample_rate, coalesce(filter_string, '') FROM online_scoring_configs WHERE scorer_id = ?", func(scan func(...any) error) error {
				return scan(&m.Online.ID, &m.Online.Rate, &m.Online.Filter)
			}, m.ID); err != nil {
				return err
			}
		}
		w, err := m.Whole()
		if err != nil {
			return fmt.Errorf("%s: %w", m.Name, err)
		}
		if err := fn(w); err != nil {
			return err
		}
	}
	return nil
}

func (d *Database) issues(ctx context.Context, fn func(genai.Whole) error) error {
	return d.query(ctx, `SELECT i.issue_id, i.experiment_id, i.name, i.description, i.status, coalesce(i.severity, ''), coalesce(i.root_causes, ''), coalesce(i.categories, ''),
		coalesce(i.source_run_id, ''), i.created_timestamp, i.last_updated_timestamp, coalesce(i.created_by, ''), `+d.workspaceOf()+
		" FROM issues i JOIN experiments e ON e.experiment_id = i.experiment_id ORDER BY i.issue_id", func(scan func(...any) error) error {
		var m genai.MovedIssue
		var causes, categories string
		if err := scan(&m.ID, &m.Experiment, &m.Name, &m.Description, &m.Status, &m.Severity, &causes, &categories, &m.Run, &m.Created, &m.Updated, &m.CreatedBy, &m.Namespace); err != nil {
			return err
		}
		for text, to := range map[*string]*[]string{&causes: &m.Causes, &categories: &m.Categories} {
			if *text == "" {
				continue
			}
			if err := json.Unmarshal([]byte(*text), to); err != nil {
				return fmt.Errorf("%s: %w", m.ID, err)
			}
		}
		w, err := m.Whole()
		if err != nil {
			return err
		}
		return fn(w)
	})
}

// KiwerkDatabase is a database of ours with all that an import brings to another one.
func KiwerkDatabase(ctx context.Context, d *db.Store, s *store.Store, t *traces.Store) (Source, error) {
	return here{kiwerk{s}, d, t}, d.Migrate(ctx, genai.Migrations())
}

// here is our own database as an import reads and compares it.
type here struct {
	kiwerk
	db     *db.Store
	traces *traces.Store
}

func (h here) Traces(ctx context.Context, fn func(traces.Whole) error) error {
	if h.traces == nil {
		return nil
	}
	return h.traces.Each(ctx, fn)
}

func (h here) Evaluation(ctx context.Context, fn func(genai.Whole) error) error {
	return genai.Each(ctx, h.db, fn)
}

func evaluationUnit(w genai.Whole) string { return w.Kind + " " + w.ID }

// evaluation brings datasets, scorers and issues, each with its note.
func (i *importer) evaluation(ctx context.Context) error {
	src, ok := i.Source.(Evaluated)
	if !ok {
		return nil
	}
	return src.Evaluation(ctx, func(w genai.Whole) error {
		if w.Doc == "" {
			i.report.Scorers = append(i.report.Scorers, w.Key+" ("+strconv.FormatInt(w.Experiment, 10)+")")
			return nil
		}
		if i.done[evaluationUnit(w)] {
			return nil
		}
		err := i.Store.Import(ctx, func(in store.Import) error {
			if err := genai.Import(in.Tx(), w); err != nil {
				return err
			}
			return i.note(in, evaluationUnit(w))
		})
		if errors.Is(err, genai.ErrTaken) {
			return fmt.Errorf("%s %w: %w", evaluationUnit(w), store.ErrTaken, err)
		}
		return err
	})
}

// evaluationKinds are the names of kinds in a report.
var evaluationKinds = map[string]string{genai.Datasets: "evaluation datasets", genai.Scorers: "scorers", genai.Issues: "issues"}

func (s side) evaluation(w genai.Whole) {
	s[evaluationKinds[w.Kind]].add(w.ID, w.Namespace, w.Experiment, w.Key, w.Created, canonical(w.Doc))
	for _, r := range w.Records {
		s["evaluation records"].add(w.ID, r.ID, r.Hash, r.Created, canonical(r.Doc))
	}
}

func takeEvaluation(ctx context.Context, src Source, s side, o *only, note bool) error {
	e, ok := src.(Evaluated)
	if !ok {
		return nil
	}
	return e.Evaluation(ctx, func(w genai.Whole) error {
		if w.Doc == "" {
			return nil
		}
		if note {
			o.evaluation[evaluationUnit(w)] = true
		}
		if o.evaluation[evaluationUnit(w)] {
			s.evaluation(w)
		}
		return nil
	})
}
