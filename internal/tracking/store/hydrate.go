package store

import (
	"database/sql"

	db "github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
)

// maxEntries bounds the metrics, params and tags of one page of runs: a page
// of 50,000 runs with a thousand metrics each would not fit into memory. The
// page then ends early, and its token goes on.
const maxEntries = 500_000

// hydrate fills runs with what was logged to them, some hundred runs per
// query, and tells how many it filled.
func (t *tx) hydrate(list []model.Run) (int, error) {
	chunk := min(500, t.s.maxEntries)
	entries := 0
	for from := 0; from < len(list); from += chunk {
		if entries > t.s.maxEntries {
			return from, nil
		}
		part := list[from:min(from+chunk, len(list))]
		byRow := make(map[int64]*model.Run, len(part))
		ids := make([]int64, len(part))
		for i := range part {
			byRow[part[i].Row] = &part[i]
			ids[i] = part[i].Row
		}
		if err := t.hydrateChunk(byRow, ids); err != nil {
			return 0, err
		}
		for _, r := range part {
			entries += len(r.Metrics) + len(r.Params) + len(r.Tags)
		}
	}
	return len(list), nil
}

const inRuns = " WHERE run IN (??)"

func (t *tx) hydrateChunk(byRow map[int64]*model.Run, ids []int64) error {
	metrics := collected[model.Metric]{size: 4 * len(ids), of: func(run int64) *[]model.Metric { return &byRow[run].Metrics }}
	params := collected[model.Pair]{size: 4 * len(ids), of: func(run int64) *[]model.Pair { return &byRow[run].Params }}
	tags := collected[model.Pair]{size: 4 * len(ids), of: func(run int64) *[]model.Pair { return &byRow[run].Tags }}
	err := t.EachOf(
		t.metricsOf(ids, &metrics),
		t.pairsOf("run_params", ids, &params),
		t.pairsOf("run_tags", ids, &tags),
		inputsOf(byRow, ids),
		modelsOf(byRow, ids),
	)
	metrics.end()
	params.end()
	tags.end()
	return err
}

// collected are the values of runs in few pieces of memory. The rows of a run
// mostly stand together.
type collected[T any] struct {
	of    func(run int64) *[]T
	size  int // of the next piece
	piece []T
	run   int64
	from  int // where those of the run begin
}

// maxPiece bounds what a run that is kept keeps of its neighbours.
const maxPiece = 1024

func (c *collected[T]) add(run int64, v T) {
	if run != c.run {
		c.end()
		c.run = run
	}
	if len(c.piece) == cap(c.piece) {
		own := c.piece[c.from:]
		c.piece = append(make([]T, 0, min(max(c.size, 4), maxPiece)+2*len(own)), own...)
		c.from = 0
	}
	c.piece = append(c.piece, v)
}

// end hands the values of the run out.
func (c *collected[T]) end() {
	own := c.piece[c.from:len(c.piece):len(c.piece)]
	c.from = len(c.piece)
	if len(own) == 0 {
		return
	}
	if list := c.of(c.run); *list == nil {
		*list = own
	} else {
		*list = append(*list, own...)
	}
}

func (t *tx) metricsOf(ids []int64, to *collected[model.Metric]) db.Query {
	var run, k, nan int64
	var m model.Metric
	row := []any{&run, &k, &m.Value, &nan, &m.Step, &m.Timestamp}
	return db.Query{Text: "SELECT run, k, value, nan, step, ts FROM run_latest" + inRuns, Args: []any{ids}, Scan: func(r rows) (err error) {
		if err = r.Scan(row...); err != nil {
			return err
		}
		if nan != 0 {
			m.Value = notANumber
		}
		m.Key, err = t.keyName(k)
		to.add(run, m)
		return err
	}}
}

func (t *tx) pairsOf(table string, ids []int64, to *collected[model.Pair]) db.Query {
	var run, k int64
	var p model.Pair
	row := []any{&run, &k, &p.Value}
	return db.Query{Text: "SELECT run, k, v FROM " + table + inRuns, Args: []any{ids}, Scan: func(r rows) (err error) {
		if err = r.Scan(row...); err != nil {
			return err
		}
		p.Key, err = t.keyName(k)
		to.add(run, p)
		return err
	}}
}

func inputsOf(byRow map[int64]*model.Run, ids []int64) db.Query {
	return db.Query{Args: []any{ids}, Scan: func(r rows) error {
		var run, id int64
		var d model.DatasetInput
		var key, value sql.NullString
		s := &d.Dataset
		if err := r.Scan(&run, &id, &s.Name, &s.Digest, &s.SourceType, &s.Source, &s.Schema, &s.Profile, &key, &value); err != nil {
			return err
		}
		list := &byRow[run].Datasets
		if n := len(*list); n == 0 || (*list)[n-1].Dataset != *s {
			*list = append(*list, d)
		}
		if key.Valid {
			last := &(*list)[len(*list)-1]
			last.Tags = append(last.Tags, model.Pair{Key: key.String, Value: value.String})
		}
		return nil
	}, Text: `SELECT i.run, d.id, d.name, d.digest, d.source_type, d.source, d.schema, d.profile, g.key, g.value
		FROM run_inputs i JOIN run_datasets d ON d.id = i.dataset
		LEFT JOIN run_input_tags g ON g.run = i.run AND g.dataset = i.dataset
		WHERE i.run IN (??) ORDER BY i.run, i.dataset, g.key`}
}

func modelsOf(byRow map[int64]*model.Run, ids []int64) db.Query {
	return db.Query{Text: "SELECT run, direction, model, step FROM run_models" + inRuns, Args: []any{ids}, Scan: func(r rows) error {
		var run, step int64
		var made bool
		var id string
		if err := r.Scan(&run, &made, &id, &step); err != nil {
			return err
		}
		if made {
			byRow[run].Outputs = append(byRow[run].Outputs, model.ModelOutput{ModelID: id, Step: step})
		} else {
			byRow[run].Inputs = append(byRow[run].Inputs, id)
		}
		return nil
	}}
}
