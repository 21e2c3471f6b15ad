package rest

import "github.com/kiwerk/kiwerk/internal/tracking/model"

type metricIn struct {
	Key       string   `ml:"key,required"`
	Value     *float64 `ml:"value,required"`
	Timestamp *int64   `ml:"timestamp,required"`
	Step      int64    `ml:"step"`
	Dataset   string   `ml:"dataset_name"`
	Digest    string   `ml:"dataset_digest"`
	ModelID   string   `ml:"model_id"`
}

type logBatch struct {
	ID      string     `ml:"run_id,required"`
	Metrics []metricIn `ml:"metrics"`
	Params  []pairIn   `ml:"params"`
	Tags    []pairIn   `ml:"tags"`

	// fast is the batch if the quick way could read it.
	fast *model.Batch
}

func (q *logBatch) batch() model.Batch {
	if q.fast != nil {
		return *q.fast
	}
	return model.Batch{
		Metrics: convert(q.Metrics, func(m metricIn) model.Metric {
			return model.Metric{Key: m.Key, Value: *m.Value, Timestamp: *m.Timestamp, Step: m.Step, DatasetName: m.Dataset, DatasetDigest: m.Digest, ModelID: m.ModelID}
		}),
		Params: pairsIn(q.Params), Tags: pairsIn(q.Tags),
	}
}
