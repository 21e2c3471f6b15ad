package rest

import (
	"github.com/kiwerk/kiwerk/internal/tracking/mlwire"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
	"github.com/kiwerk/kiwerk/internal/tracking/route"
)

type metricIn struct {
	Key       string   `ml:"key,required"`
	Value     *float64 `ml:"value,required"`
	Timestamp *int64   `ml:"timestamp,required"`
	Step      int64    `ml:"step"`
	Dataset   string   `ml:"dataset_name" about:"- a text"`
	Digest    string   `ml:"dataset_digest"`
	ModelID   string   `ml:"model_id" about:"logged_model"`
}

type logBatch struct {
	ID      string         `ml:"run_id,required" about:"run"`
	Metrics []metricIn     `ml:"metrics"`
	Params  []route.PairIn `ml:"params"`
	Tags    []route.PairIn `ml:"tags"`

	// fast is the batch if the quick way could read it.
	fast *model.Batch
}

// check: every param and tag has a key.
func (q *logBatch) check() error {
	if err := route.CheckKeys("params", q.Params); err != nil {
		return err
	}
	return route.CheckKeys("tags", q.Tags)
}

func (q *logBatch) batch() model.Batch {
	if q.fast != nil {
		return *q.fast
	}
	return model.Batch{
		Metrics: route.Convert(q.Metrics, func(m metricIn) model.Metric {
			return model.Metric{Key: m.Key, Value: *m.Value, Timestamp: *m.Timestamp, Step: m.Step, DatasetName: m.Dataset, DatasetDigest: m.Digest, ModelID: m.ModelID}
		}),
		Params: route.PairsIn(q.Params), Tags: route.PairsIn(q.Tags),
	}
}

// DecodeFast implements mlwire.FastDecoder: log-batch is most of the traffic.
func (q *logBatch) DecodeFast(body []byte) bool {
	d := batchScanner{Scanner: mlwire.NewScanner(body), out: &model.Batch{}}
	ok := d.Object(func(name []byte) bool {
		switch string(name) {
		case "run_id":
			id, ok := d.Text()
			q.ID = id
			return ok
		case "metrics":
			return d.Array(d.metric)
		case "params":
			return d.Array(func() bool { return d.pair(&d.out.Params) })
		case "tags":
			return d.Array(func() bool { return d.pair(&d.out.Tags) })
		}
		return false
	}) && d.End()
	if !ok {
		*q = logBatch{}
		return false
	}
	q.fast = d.out
	return true
}

type batchScanner struct {
	*mlwire.Scanner
	out *model.Batch
	// last is the key of the metric before, which is often that of the next.
	last string
}

func (d *batchScanner) metric() bool {
	var m model.Metric
	var value, timestamp bool
	ok := d.Object(func(name []byte) (ok bool) {
		switch string(name) {
		case "key":
			var b []byte
			if b, ok = d.Bytes(); ok && string(b) != d.last {
				d.last = string(b)
			}
			m.Key = d.last
		case "value":
			m.Value, ok = d.Float()
			value = ok
		case "timestamp":
			m.Timestamp, ok = d.Int()
			timestamp = ok
		case "step":
			m.Step, ok = d.Int()
		case "model_id":
			m.ModelID, ok = d.Text()
		case "dataset_name":
			m.DatasetName, ok = d.Text()
		case "dataset_digest":
			m.DatasetDigest, ok = d.Text()
		}
		return ok
	})
	d.out.Metrics = append(d.out.Metrics, m)
	return ok && value && timestamp && m.Key != ""
}

func (d *batchScanner) pair(list *[]model.Pair) bool {
	var p model.Pair
	ok := d.Object(func(name []byte) (ok bool) {
		switch string(name) {
		case "key":
			p.Key, ok = d.Text()
		case "value":
			p.Value, ok = d.Text()
		}
		return ok
	})
	*list = append(*list, p)
	return ok && p.Key != ""
}
