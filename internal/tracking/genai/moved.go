package genai

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"

	db "github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/tracking/mlwire"
)

// Whole is an evaluation dataset with its records, a scorer with its versions
// or an issue, as it moves from one database to another.
type Whole struct {
	Kind, ID, Namespace string
	// Experiment is 0 for datasets: they name theirs themselves.
	Experiment int64
	Key        string
	Created    int64
	// Doc is JSON.
	Doc     string
	Records []WholeRecord
}

// WholeRecord is a record of a dataset.
type WholeRecord struct {
	ID, Hash string
	Created  int64
	Doc      string
}

// Kinds of what moves.
const (
	Datasets = "dataset"
	Scorers  = "scorer"
	Issues   = "issue"
)

// ErrTaken is something whose id or name another one has here.
var ErrTaken = errors.New("another one has this id or name here")

// MovedDataset is a dataset of another database. Schema is JSON, or empty.
type MovedDataset struct {
	ID, Namespace, Name, Digest, Schema string
	Created, Updated                    int64
	CreatedBy, UpdatedBy                string
	Tags                                map[string]string
	Experiments                         []string
	Records                             []MovedRecord
}

// MovedRecord is a record of it. Inputs, outputs, expectations, tags and source are JSON, or empty.
type MovedRecord struct {
	ID                                          string
	Inputs, Outputs, Expectations, Tags, Source string
	SourceID, SourceType                        string
	Created, Updated                            int64
	CreatedBy, UpdatedBy                        string
}

// Whole is the dataset as it is stored here.
func (m MovedDataset) Whole() (Whole, error) {
	d := dataset{
		Name: m.Name, Digest: m.Digest, Tags: m.Tags, Records: int64(len(m.Records)), Profiled: len(m.Records) > 0,
		Updated: m.Updated, CreatedBy: m.CreatedBy, UpdatedBy: m.UpdatedBy, Experiments: m.Experiments,
	}
	if json.Valid([]byte(m.Schema)) {
		d.Schema = json.RawMessage(m.Schema)
	}
	w := Whole{Kind: Datasets, ID: m.ID, Namespace: m.Namespace, Key: m.ID, Created: m.Created}
	for _, r := range m.Records {
		to, err := r.whole(m.ID)
		if err != nil {
			return w, err
		}
		w.Records = append(w.Records, to)
	}
	return w.describe(d)
}

func (m MovedRecord) whole(dataset string) (w WholeRecord, err error) {
	r := record{
		ID: m.ID, Dataset: dataset, SourceID: m.SourceID, SourceType: m.SourceType, Created: m.Created, Updated: m.Updated, CreatedBy: m.CreatedBy, UpdatedBy: m.UpdatedBy,
	}
	for _, part := range []struct {
		text string
		to   any
	}{{m.Inputs, &r.Inputs}, {m.Outputs, &r.Outputs}, {m.Expectations, &r.Expectations}, {m.Tags, &r.Tags}, {m.Source, &r.Source}} {
		if part.text == "" {
			continue
		}
		if err := mlwire.ReadValue([]byte(part.text), part.to); err != nil {
			return w, err
		}
	}
	hash, err := hashOf(r.Inputs)
	if err != nil {
		return w, err
	}
	doc, err := json.Marshal(r)
	return WholeRecord{m.ID, hash, m.Created, string(doc)}, err
}

// hashOf inputs is what tells the records of a dataset apart.
func hashOf(inputs map[string]any) (string, error) {
	b, err := json.Marshal(inputs) // in the order of the keys
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), err
}

// MovedScorer is a scorer of another database.
type MovedScorer struct {
	ID, Namespace, Name string
	Experiment          int64
	Versions            []MovedVersion
	// Online says how it is applied to new traces; without an ID it is not.
	Online MovedOnline
}

// MovedVersion of a scorer.
type MovedVersion struct {
	Version, Created int64
	Text             string
}

// MovedOnline is how often a scorer is applied to new traces.
type MovedOnline struct {
	ID     string
	Rate   float64
	Filter string
}

// Whole is the scorer as it is stored here, without the versions that are not
// taken here; where none is left it has no Doc.
func (m MovedScorer) Whole() (Whole, error) {
	w := Whole{Kind: Scorers, ID: m.ID, Namespace: m.Namespace, Experiment: m.Experiment, Key: m.Name}
	d := scorer{Name: m.Name}
	for _, v := range m.Versions {
		if checkScorer(&registerScorer{Name: m.Name, Text: v.Text}) != nil {
			continue
		}
		d.Versions = append(d.Versions, scorerVersion{v.Version, v.Text, v.Created})
	}
	if len(d.Versions) == 0 {
		return w, nil
	}
	w.Created = d.Versions[0].Created
	if m.Online.ID != "" {
		d.Online = &online{m.Online.ID, m.Online.Rate, m.Online.Filter}
	}
	return w.describe(d)
}

// MovedIssue is an issue of another database.
type MovedIssue struct {
	ID, Namespace, Name, Description, Status, Severity string
	Experiment, Created, Updated                       int64
	Causes, Categories                                 []string
	Run, CreatedBy                                     string
}

// Whole is the issue as it is stored here.
func (m MovedIssue) Whole() (Whole, error) {
	w := Whole{Kind: Issues, ID: m.ID, Namespace: m.Namespace, Experiment: m.Experiment, Key: m.ID, Created: m.Created}
	return w.describe(issue{
		Name: m.Name, Description: m.Description, Status: m.Status, Severity: m.Severity, Causes: m.Causes, Categories: m.Categories, Run: m.Run,
		CreatedBy: m.CreatedBy, Updated: m.Updated,
	})
}

func (w Whole) describe(v any) (Whole, error) {
	b, err := json.Marshal(v)
	w.Doc = string(b)
	return w, err
}

// Import writes something of another database in a transaction of the caller.
func Import(t *db.Tx, w Whole) error {
	n, err := t.Exec(`INSERT INTO genai_objects(id, kind, namespace, exp, key, created, doc) VALUES(?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT(id) DO UPDATE SET doc = excluded.doc WHERE genai_objects.kind = excluded.kind AND genai_objects.namespace = excluded.namespace
			AND genai_objects.exp = excluded.exp AND genai_objects.key = excluded.key`, w.ID, w.Kind, w.Namespace, w.Experiment, w.Key, w.Created, w.Doc)
	if errors.Is(err, db.ErrConflict) || err == nil && n == 0 {
		return ErrTaken
	}
	if err != nil {
		return err
	}
	for _, r := range w.Records {
		if _, err := t.Exec(`INSERT INTO genai_records(id, dataset, hash, created, doc) VALUES(?, ?, ?, ?, ?)
			ON CONFLICT(id) DO UPDATE SET doc = excluded.doc`, r.ID, w.ID, r.Hash, r.Created, r.Doc); err != nil {
			return err
		}
	}
	return nil
}

// Each calls fn for all datasets, scorers and issues of all namespaces.
func Each(ctx context.Context, s *db.Store, fn func(Whole) error) error {
	var list []Whole
	if err := s.View(ctx, func(t *db.Tx) error {
		list = nil
		return t.Each(func(r db.Rows) error {
			var w Whole
			err := r.Scan(&w.Kind, &w.ID, &w.Namespace, &w.Experiment, &w.Key, &w.Created, &w.Doc)
			list = append(list, w)
			return err
		}, "SELECT kind, id, namespace, exp, key, created, doc FROM genai_objects WHERE kind IN (??) ORDER BY kind, id", []string{Datasets, Scorers, Issues})
	}); err != nil {
		return err
	}
	for _, w := range list {
		if err := s.View(ctx, func(t *db.Tx) error {
			w.Records = nil
			return t.Each(func(r db.Rows) error {
				var to WholeRecord
				err := r.Scan(&to.ID, &to.Hash, &to.Created, &to.Doc)
				w.Records = append(w.Records, to)
				return err
			}, "SELECT id, hash, created, doc FROM genai_records WHERE dataset = ? ORDER BY id", w.ID)
		}); err != nil {
			return err
		}
		if err := fn(w); err != nil {
			return err
		}
	}
	return nil
}
