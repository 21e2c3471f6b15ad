package genai

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/kiwerk/kiwerk/internal/server"
	db "github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/tracking/mlwire"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
	"github.com/kiwerk/kiwerk/internal/tracking/query"
	"github.com/kiwerk/kiwerk/internal/tracking/route"
)

// record is one row of a dataset, as clients read it.
type record struct {
	ID           string         `json:"dataset_record_id"`
	Dataset      string         `json:"dataset_id"`
	Inputs       map[string]any `json:"inputs"`
	Outputs      any            `json:"outputs,omitempty"`
	Expectations map[string]any `json:"expectations,omitempty"`
	Tags         map[string]any `json:"tags,omitempty"`
	Source       *source        `json:"source,omitempty"`
	SourceID     string         `json:"source_id,omitempty"`
	SourceType   string         `json:"source_type,omitempty"`
	Created      int64          `json:"created_time"`
	Updated      int64          `json:"last_update_time"`
	CreatedBy    string         `json:"created_by,omitempty"`
	UpdatedBy    string         `json:"last_updated_by,omitempty"`
}

// source is where a record comes from.
type source struct {
	Type string         `json:"source_type"`
	Data map[string]any `json:"source_data"`
}

var sourceTypes = []string{"UNSPECIFIED", "TRACE", "HUMAN", "DOCUMENT", "CODE"}

// recordIn is a record as clients send it.
type recordIn struct {
	Inputs       map[string]any  `json:"inputs"`
	Outputs      json.RawMessage `json:"outputs"`
	Expectations map[string]any  `json:"expectations"`
	Tags         map[string]any  `json:"tags"`
	Source       *source         `json:"source"`
}

type upsertRecords struct {
	byID `about:"dataset"`

	Records string `ml:"records,required"`
}

type listRecords struct {
	byID `about:"dataset"`

	Max   *int64 `ml:"max_results"`
	Token string `ml:"page_token"`
}

type deleteRecords struct {
	byID `about:"dataset"`

	IDs []string `ml:"dataset_record_ids" about:"- within the dataset"`
}

// counts answers with numbers in the order of their names.
type counts []struct {
	name string
	n    int64
}

// AppendJSON implements mlwire.Appender.
func (c counts) AppendJSON(w *mlwire.Writer) {
	w.Begin()
	for _, v := range c {
		w.Int(v.name, v.n)
	}
	w.End()
}

type recordsJSON struct {
	list []json.RawMessage
	next string
}

// AppendJSON implements mlwire.Appender.
func (r recordsJSON) AppendJSON(w *mlwire.Writer) {
	b, err := json.Marshal(r.list)
	if err != nil || r.list == nil {
		b = []byte("[]") // what was stored is JSON
	}
	w.Begin()
	w.Str("records", string(b))
	w.OptStr("next_page_token", r.next)
	w.End()
}

func (s *Service) records() []server.Endpoint {
	return route.Flat(
		call(s, "POST", "/datasets/{id}/records", write, "add records to an evaluation dataset, or to those with the same inputs", s.upsertRecords),
		call(s, "GET", "/datasets/{id}/records", read, "records of an evaluation dataset", s.listRecords),
		call(s, "DELETE", "/datasets/{id}/records", write, "delete records of an evaluation dataset", s.deleteRecords),
	)
}

func parseRecords(s string) ([]recordIn, error) {
	var list []recordIn
	if err := mlwire.ReadValue([]byte(s), &list); err != nil {
		return nil, model.Invalid("Invalid value for parameter 'records' supplied: it must be a JSON list of records in a string: %s", err)
	}
	for i, r := range list {
		if r.Inputs == nil {
			list[i].Inputs = map[string]any{}
		}
		if r.Source == nil {
			continue
		}
		r.Source.Type = strings.ToUpper(r.Source.Type)
		if !slices.Contains(sourceTypes, r.Source.Type) {
			return nil, model.Invalid("Invalid dataset record source type: %s. Valid source types: ['%s']", model.Cut(r.Source.Type, 100), strings.Join(sourceTypes, "', '"))
		}
		if r.Source.Data == nil {
			r.Source.Data = map[string]any{}
		}
	}
	return list, nil
}

func (s *Service) upsertRecords(ctx context.Context, q *upsertRecords) (*counts, error) {
	list, err := parseRecords(q.Records)
	if err != nil {
		return nil, err
	}
	var inserted, updated int64
	_, err = datasetKind.change(ctx, s, server.NamespaceOf(ctx), q.id, func(t *db.Tx, o *object[dataset]) error {
		inserted, updated = 0, 0
		now := s.now()
		o.Doc.UpdatedBy = ""
		for _, in := range list {
			isNew, err := s.upsert(t, o.ID, in, now)
			if err != nil {
				return err
			}
			if isNew {
				inserted++
			} else {
				updated++
			}
			if by := userOf(in.Tags); by != "" {
				o.Doc.UpdatedBy = by
			}
		}
		o.Doc.Updated, o.Doc.Digest = now, digestOf(o.Doc.Name, now)
		if err := o.Doc.learn(list); err != nil {
			return err
		}
		return count(t, o)
	})
	if err != nil {
		return nil, err
	}
	return &counts{{"inserted_count", inserted}, {"updated_count", updated}}, nil
}

// count notes how many records there are.
func count(t *db.Tx, o *object[dataset]) error {
	err := t.Row("SELECT count(*) FROM genai_records WHERE dataset = ?", o.ID).Scan(&o.Doc.Records)
	o.Doc.Profiled = o.Doc.Profiled || o.Doc.Records > 0
	return err
}

func userOf(tags map[string]any) string {
	s, _ := tags[userTag].(string)
	return s
}

// upsert adds a record or merges it into the one with the same inputs.
func (s *Service) upsert(t *db.Tx, dataset string, in recordIn, now int64) (isNew bool, err error) {
	hash, err := hashOf(in.Inputs)
	if err != nil {
		return false, err
	}
	r := record{}
	var doc string
	err = t.Row("SELECT doc FROM genai_records WHERE dataset = ? AND hash = ?", dataset, hash).Scan(&doc)
	switch {
	case db.IsNoRows(err):
		isNew = true
		r = record{ID: "dr-" + s.o.NewID(), Dataset: dataset, Inputs: in.Inputs, Created: now, CreatedBy: userOf(in.Tags), Source: in.Source, Outputs: map[string]any{}}
		r.fromSource()
	case err != nil:
		return false, err
	default:
		if err := mlwire.ReadValue([]byte(doc), &r); err != nil {
			return false, err
		}
	}
	if in.Outputs != nil {
		if err := mlwire.ReadValue(in.Outputs, &r.Outputs); err != nil {
			return false, err
		}
	}
	r.Expectations, r.Tags = merge(r.Expectations, in.Expectations), merge(r.Tags, in.Tags)
	r.Updated = now
	if by := userOf(in.Tags); by != "" {
		r.UpdatedBy = by
	}
	b, err := json.Marshal(r)
	if err != nil {
		return false, err
	}
	_, err = t.Exec("INSERT INTO genai_records(id, dataset, hash, created, doc) VALUES(?, ?, ?, ?, ?) ON CONFLICT(id) DO UPDATE SET doc = excluded.doc", r.ID, dataset, hash, r.Created, string(b))
	return isNew, err
}

func (r *record) fromSource() {
	if r.Source == nil {
		return
	}
	r.SourceType = r.Source.Type
	key := "source_id"
	if r.SourceType == "TRACE" {
		key = "trace_id"
	}
	r.SourceID, _ = r.Source.Data[key].(string)
}

func merge(into, from map[string]any) map[string]any {
	if len(from) == 0 {
		return into
	}
	if into == nil {
		into = map[string]any{}
	}
	for k, v := range from {
		into[k] = v
	}
	return into
}

// learn adds the fields of records to the schema.
func (d *dataset) learn(list []recordIn) error {
	if len(list) == 0 && d.Schema == nil {
		return nil
	}
	schema := map[string]any{"inputs": map[string]any{}, "outputs": map[string]any{}, "expectations": map[string]any{}, "version": "1.0"}
	if d.Schema != nil {
		if err := json.Unmarshal(d.Schema, &schema); err != nil {
			return err
		}
	}
	note := func(part string, fields map[string]any) {
		known, ok := schema[part].(map[string]any)
		for k, v := range fields {
			if _, there := known[k]; ok && !there {
				known[k] = typeOf(v)
			}
		}
	}
	for _, r := range list {
		note("inputs", r.Inputs)
		note("expectations", r.Expectations)
		if r.Outputs == nil {
			continue
		}
		var out any
		if err := mlwire.ReadValue(r.Outputs, &out); err != nil {
			return err
		}
		if fields, ok := out.(map[string]any); ok {
			note("outputs", fields)
		} else if known, ok := schema["outputs"].(map[string]any); ok && len(known) == 0 && out != nil {
			schema["outputs"] = typeOf(out)
		}
	}
	var err error
	d.Schema, err = json.Marshal(schema)
	return err
}

func typeOf(v any) string {
	switch t := v.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case json.Number:
		if strings.ContainsAny(t.String(), ".eE") {
			return "float"
		}
		return "integer"
	case string:
		return "string"
	case []any:
		return "array"
	default:
		return "object"
	}
}

// row is a record as it is listed.
type row struct {
	id, doc string
	created int64
}

// recordOrder is that of lists.
var recordOrder = query.Order[row]{}.
	Then(query.By("created", func(r *row) any { return r.created }), false).
	Then(query.By("id", func(r *row) any { return r.id }), false)

func (s *Service) listRecords(ctx context.Context, q *listRecords) (*recordsJSON, error) {
	n, err := route.MaxResults(positive(q.Max), 1000, 50_000)
	if err != nil {
		return nil, err
	}
	token, err := query.ParseToken(q.Token, query.Hash("records", q.id))
	if err != nil {
		return nil, err
	}
	behind, err := recordOrder.Behind(token)
	if err != nil {
		return nil, err
	}
	where := query.All(query.Of("dataset = ?", q.id), behind)
	out := &recordsJSON{}
	err = s.db.View(ctx, func(t *db.Tx) error {
		if _, err := datasetKind.get(t, server.NamespaceOf(ctx), q.id); err != nil {
			return err
		}
		var list []row
		err := t.Each(func(r db.Rows) error {
			var v row
			err := r.Scan(&v.id, &v.created, &v.doc)
			list = append(list, v)
			return err
		}, "SELECT id, created, doc FROM genai_records WHERE "+where.SQL+recordOrder.End(), append(where.Args, n+1, token.Offset)...)
		if err != nil {
			return err
		}
		list, out.next, err = recordOrder.Page(list, n, token)
		out.list = route.Convert(list, func(r row) json.RawMessage { return json.RawMessage(r.doc) })
		return err
	})
	return out, err
}

func (s *Service) deleteRecords(ctx context.Context, q *deleteRecords) (*counts, error) {
	var deleted int64
	_, err := datasetKind.change(ctx, s, server.NamespaceOf(ctx), q.id, func(t *db.Tx, o *object[dataset]) error {
		deleted = 0
		for _, id := range q.IDs {
			n, err := t.Exec("DELETE FROM genai_records WHERE dataset = ? AND id = ?", o.ID, id)
			if err != nil {
				return err
			}
			deleted += n
		}
		return count(t, o)
	})
	if err != nil {
		return nil, err
	}
	return &counts{{"deleted_count", deleted}}, nil
}
