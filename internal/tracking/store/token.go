package store

import (
	"math"

	"github.com/kiwerk/kiwerk/internal/tracking/model"
	"github.com/kiwerk/kiwerk/internal/tracking/query"
)

// token says where a page of runs or logged models ends.
type token struct {
	// Query is a hash of what was asked: a token of one search is no good for another.
	Query string `json:"q,omitempty"`
	// Offset counts rows, for orders that have no better way.
	Offset int `json:"offset,omitempty"`
	// Part and Value say where among the values of a metric a page in their order ended (bymetric.go).
	Part  int     `json:"part,omitempty"`
	Value float64 `json:"value,omitempty"`
	// Start and ID are the last run of a page in the default order, or of those with the same value.
	Start int64  `json:"start,omitempty"`
	ID    string `json:"id,omitempty"`
}

func (t token) encode() string { return query.Encode(t) }

func parseToken(s, hash string) (t token, err error) {
	if s == "" {
		return token{Query: hash}, nil
	}
	if err := query.Decode(s, &t); err != nil {
		return t, err
	}
	if t.Offset < 0 {
		return t, model.Invalid("Invalid page token '%s'", model.Cut(s, 100))
	}
	if err := query.Belongs(t.Query, hash); err != nil {
		return t, err
	}
	t.Query = hash
	return t, nil
}

// historyToken is the last point of a page of a metric's history.
type historyToken struct {
	Key   string  `json:"k"`
	TS    int64   `json:"ts"`
	Step  int64   `json:"step"`
	Value float64 `json:"v"`
	NaN   int     `json:"nan"`
}

func historyTokenOf(key string, m model.Metric) historyToken {
	t := historyToken{Key: key, TS: m.Timestamp, Step: m.Step, Value: m.Value}
	if math.IsNaN(m.Value) {
		t.Value, t.NaN = 0, 1
	}
	return t
}

func (t historyToken) encode() string { return query.Encode(t) }

func parseHistoryToken(s, key string) (t historyToken, err error) {
	if s == "" {
		return historyToken{TS: math.MinInt64, Step: math.MinInt64, Value: -math.MaxFloat64, NaN: -1}, nil
	}
	if err := query.Decode(s, &t); err != nil || t.Key != key {
		return t, model.Invalid("Invalid page token '%s' for metric '%s'", model.Cut(s, 100), key)
	}
	return t, nil
}
