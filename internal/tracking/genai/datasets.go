package genai

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/kiwerk/kiwerk/internal/server"
	db "github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/tracking/filter"
	"github.com/kiwerk/kiwerk/internal/tracking/mlwire"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
	"github.com/kiwerk/kiwerk/internal/tracking/query"
	"github.com/kiwerk/kiwerk/internal/tracking/route"
)

// dataset is what rows of an evaluation belong to.
type dataset struct {
	Name        string            `json:"name"`
	Digest      string            `json:"digest"`
	Tags        map[string]string `json:"tags"`
	Schema      json.RawMessage   `json:"schema,omitempty"`
	Records     int64             `json:"records,omitempty"`
	Profiled    bool              `json:"profiled,omitempty"`
	Updated     int64             `json:"updated"`
	CreatedBy   string            `json:"createdBy,omitempty"`
	UpdatedBy   string            `json:"updatedBy,omitempty"`
	Experiments []string          `json:"experiments,omitempty"`
}

var datasetKind = kind[dataset]{"dataset", "Evaluation dataset with id"}

// userTag names who did something.
const userTag = "mlflow.user"

func digestOf(name string, at int64) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s:%d", name, at))
	return hex.EncodeToString(sum[:4])
}

var datasetLanguage = filter.Language{
	Entities: map[string]filter.Entity{"attribute": filter.Attribute, "attributes": filter.Attribute, "tag": filter.Tag, "tags": filter.Tag},
	Attributes: map[string]filter.Kind{
		"name": filter.Text, "created_by": filter.Text, "last_updated_by": filter.Text, "created_time": filter.Number, "last_update_time": filter.Number,
	},
	OrderBy: []string{"created_time", "last_update_time", "name"},
	Lists:   []string{"name"},
}

type createDataset struct {
	Name        string   `ml:"name,required" about:"- need not be the only one"`
	Experiments []string `ml:"experiment_ids" about:"experiment"`
	Tags        string   `ml:"tags"`
}

type searchDatasets struct {
	Experiments []string `ml:"experiment_ids" about:"experiment"`
	Filter      string   `ml:"filter_string"`
	Max         *int64   `ml:"max_results"`
	OrderBy     []string `ml:"order_by"`
	Token       string   `ml:"page_token"`
}

type datasetRef struct {
	byID `about:"dataset"`
}

type tagDataset struct {
	byID `about:"dataset"`

	Tags string `ml:"tags,required"`
}

type moveDataset struct {
	byID `about:"dataset"`

	Experiments []string `ml:"experiment_ids" about:"experiment"`
}

type datasetJSON object[dataset]

// AppendJSON implements mlwire.Appender.
func (o datasetJSON) AppendJSON(w *mlwire.Writer) {
	d := o.Doc
	tags, err := json.Marshal(d.Tags)
	if err != nil || d.Tags == nil {
		tags = []byte("{}")
	}
	w.Begin()
	w.Str("dataset_id", o.ID)
	w.Str("name", d.Name)
	w.Str("tags", string(tags))
	w.OptStr("schema", string(d.Schema))
	if d.Profiled {
		w.Str("profile", d.profile())
	}
	w.Str("digest", d.Digest)
	w.Int("created_time", o.Created)
	w.Int("last_update_time", d.Updated)
	w.OptStr("created_by", d.CreatedBy)
	w.OptStr("last_updated_by", d.UpdatedBy)
	w.Strings("experiment_ids", d.Experiments)
	w.End()
}

func (d dataset) profile() string {
	if d.Records == 0 {
		return "null"
	}
	return fmt.Sprintf(`{"num_records": %d}`, d.Records)
}

func (s *Service) datasets() []server.Endpoint {
	search := func(ctx context.Context, q *searchDatasets) (*route.Many[datasetJSON], error) {
		list, next, err := s.searchDatasets(ctx, q)
		return route.ManyOf("datasets", list, next, err, func(o object[dataset]) datasetJSON { return datasetJSON(o) })
	}
	answer := func(o object[dataset], err error) (*route.One[datasetJSON], error) {
		return route.OneOf("dataset", datasetJSON(o), err)
	}
	return route.Flat(
		call(s, "POST", "/datasets/create", write, "make an evaluation dataset", func(ctx context.Context, q *createDataset) (*route.One[datasetJSON], error) {
			return answer(s.createDataset(ctx, q))
		}),
		call(s, "GET", "/datasets/{id}", read, "one evaluation dataset", func(ctx context.Context, q *datasetRef) (*route.One[datasetJSON], error) {
			return answer(datasetKind.load(ctx, s, server.NamespaceOf(ctx), q.id))
		}),
		call(s, "DELETE", "/datasets/{id}", erase, "delete an evaluation dataset with its records", s.deleteDataset),
		call(s, "POST", "/datasets/search", read, "find evaluation datasets", search),
		call(s, "GET", "/datasets/search", read, "find evaluation datasets", search),
		call(s, "PATCH", "/datasets/{id}/tags", write, "set tags of an evaluation dataset", s.tagDataset),
		call(s, "DELETE", "/datasets/{id}/tags/{key}", write, "delete a tag of an evaluation dataset", s.untagDataset),
		call(s, "GET", "/datasets/{id}/experiment-ids", read, "experiments of an evaluation dataset", func(ctx context.Context, q *datasetRef) (*idsJSON, error) {
			o, err := datasetKind.load(ctx, s, server.NamespaceOf(ctx), q.id)
			return &idsJSON{o.Doc.Experiments}, err
		}),
		call(s, "POST", "/datasets/{id}/add-experiments", write, "add an evaluation dataset to experiments", func(ctx context.Context, q *moveDataset) (*route.One[datasetJSON], error) {
			return answer(s.addDataset(ctx, q))
		}),
		call(s, "POST", "/datasets/{id}/remove-experiments", write, "take an evaluation dataset out of experiments", func(ctx context.Context, q *moveDataset) (*route.One[datasetJSON], error) {
			return answer(s.removeDataset(ctx, q))
		}),
	)
}

func (s *Service) deleteDataset(ctx context.Context, q *datasetRef) (*route.Empty, error) {
	return route.Done(s.db.Update(ctx, func(t *db.Tx) error {
		_, err := datasetKind.get(t, server.NamespaceOf(ctx), q.id)
		if model.IsMissing(err) {
			return nil // as it was asked for
		}
		if err != nil {
			return err
		}
		return remove(t, q.id)
	}))
}

func (s *Service) tagDataset(ctx context.Context, q *tagDataset) (*route.Empty, error) {
	tags, err := parseTags(q.Tags)
	if err != nil {
		return nil, err
	}
	_, err = datasetKind.change(ctx, s, server.NamespaceOf(ctx), q.id, func(_ *db.Tx, o *object[dataset]) error {
		if o.Doc.Tags == nil {
			o.Doc.Tags = map[string]string{}
		}
		maps.Copy(o.Doc.Tags, tags)
		return nil
	})
	return route.Done(err)
}

func (s *Service) untagDataset(ctx context.Context, q *datasetRef) (*route.Empty, error) {
	_, err := datasetKind.change(ctx, s, server.NamespaceOf(ctx), q.id, func(_ *db.Tx, o *object[dataset]) error {
		delete(o.Doc.Tags, q.key)
		return nil
	})
	if model.IsMissing(err) {
		err = nil // as it was asked for
	}
	return route.Done(err)
}

func (s *Service) addDataset(ctx context.Context, q *moveDataset) (o object[dataset], err error) {
	ids, err := s.experimentIDs(ctx, q.Experiments)
	if err != nil {
		return o, err
	}
	return datasetKind.change(ctx, s, server.NamespaceOf(ctx), q.id, func(_ *db.Tx, o *object[dataset]) error {
		for _, id := range ids {
			if !slices.Contains(o.Doc.Experiments, id) {
				o.Doc.Experiments = append(o.Doc.Experiments, id)
			}
		}
		o.Doc.Updated = s.now()
		return nil
	})
}

func (s *Service) removeDataset(ctx context.Context, q *moveDataset) (object[dataset], error) {
	return datasetKind.change(ctx, s, server.NamespaceOf(ctx), q.id, func(_ *db.Tx, o *object[dataset]) error {
		before := len(o.Doc.Experiments)
		o.Doc.Experiments = slices.DeleteFunc(o.Doc.Experiments, func(id string) bool { return slices.Contains(q.Experiments, id) })
		if len(o.Doc.Experiments) < before {
			o.Doc.Updated = s.now()
		}
		return nil
	})
}

type idsJSON struct{ ids []string }

// AppendJSON implements mlwire.Appender.
func (l idsJSON) AppendJSON(w *mlwire.Writer) {
	w.Begin()
	w.Strings("experiment_ids", l.ids)
	w.End()
}

// parseTags reads the JSON object that clients send as a string; null is no tag.
func parseTags(s string) (map[string]string, error) {
	tags := map[string]string{}
	if s == "" {
		return tags, nil
	}
	var raw map[string]any
	if err := mlwire.ReadValue([]byte(s), &raw); err != nil {
		return nil, model.Invalid("Invalid value for parameter 'tags' supplied: it must be a JSON object in a string: %s", err)
	}
	for k, v := range raw {
		switch t := v.(type) {
		case nil:
		case string:
			tags[k] = t
		default:
			tags[k] = fmt.Sprint(t)
		}
		if k == "" || len(k) > 255 || len(tags[k]) > 5000 {
			return nil, model.Invalid("Invalid tag '%s': keys have 1 to 255 bytes, values at most 5000.", model.Cut(k, 100))
		}
	}
	return tags, nil
}

// experimentIDs checks that experiments exist and gives their numbers.
func (s *Service) experimentIDs(ctx context.Context, list []string) (ids []string, err error) {
	for _, id := range list {
		e, err := s.o.Experiments.Experiment(ctx, server.NamespaceOf(ctx), id)
		if err != nil {
			return nil, err
		}
		ids = append(ids, number(e.ID))
	}
	return ids, nil
}

func (s *Service) createDataset(ctx context.Context, q *createDataset) (o object[dataset], err error) {
	if len(q.Name) > 255 {
		return o, model.Invalid("The name of the dataset is %d bytes long, the limit is 255.", len(q.Name))
	}
	tags, err := parseTags(q.Tags)
	if err != nil {
		return o, err
	}
	ids, err := s.experimentIDs(ctx, q.Experiments)
	if err != nil {
		return o, err
	}
	now, id := s.now(), "d-"+s.o.NewID()
	o = object[dataset]{ID: id, Namespace: server.NamespaceOf(ctx), Key: id, Created: now, Doc: dataset{
		Name: q.Name, Digest: digestOf(q.Name, now), Tags: tags, Updated: now, CreatedBy: tags[userTag], UpdatedBy: tags[userTag], Experiments: ids,
	}}
	return o, s.db.Update(ctx, func(t *db.Tx) error { return datasetKind.put(t, o) })
}

// order of datasets.
func (d documents) datasetOrder(orders []filter.Order) query.Order[object[dataset]] {
	return datasetKind.newest(query.OrderOf(orders, map[string]query.Column[object[dataset]]{
		"name":             query.By(d.text("name"), func(o *object[dataset]) any { return o.Doc.Name }),
		"created_time":     query.By("created", func(o *object[dataset]) any { return o.Created }),
		"last_update_time": query.By(d.number("updated"), func(o *object[dataset]) any { return o.Doc.Updated }),
	}))
}

func (d documents) datasetCondition(c filter.Comparison) query.Clause {
	if c.Entity == filter.Tag {
		return d.tag(c)
	}
	switch c.Key {
	case "name":
		return query.Text(d.text("name"), c)
	case "created_by":
		return query.Text(d.text("createdBy"), c)
	case "last_updated_by":
		return query.Text(d.text("updatedBy"), c)
	case "created_time":
		return query.Number("created", c)
	default:
		return query.Number(d.number("updated"), c)
	}
}

func (s *Service) searchDatasets(ctx context.Context, q *searchDatasets) (list []object[dataset], next string, err error) {
	n, err := route.MaxResults(positive(q.Max), 1000, 50_000)
	if err != nil {
		return nil, "", err
	}
	filters, err := parse(&datasetLanguage, q.Filter)
	if err != nil {
		return nil, "", err
	}
	var orders []filter.Order
	for _, text := range q.OrderBy {
		o, err := datasetLanguage.ParseOrder(text)
		if err != nil {
			return nil, "", model.Invalid("%s", err)
		}
		orders = append(orders, o)
	}
	namespace, d := server.NamespaceOf(ctx), documentsOf(s.db)
	token, err := query.ParseToken(q.Token, query.Hash(append([]string{"datasets", namespace, q.Filter, fmt.Sprint(q.Experiments)}, q.OrderBy...)...))
	if err != nil {
		return nil, "", err
	}
	conditions := []query.Clause{datasetKind.in(namespace)}
	if len(q.Experiments) > 0 {
		conditions = append(conditions, d.has("experiments", q.Experiments))
	}
	for _, c := range filters {
		conditions = append(conditions, d.datasetCondition(c))
	}
	err = s.db.View(ctx, func(t *db.Tx) error {
		list, next, err = datasetKind.page(t, d.datasetOrder(orders), query.All(conditions...), n, token)
		return err
	})
	return list, next, err
}

// positive takes 0 for "not given", as clients write it.
func positive(n *int64) *int64 {
	if n != nil && *n == 0 {
		return nil
	}
	return n
}
