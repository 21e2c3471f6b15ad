package store

import (
	"encoding/base64"
	"encoding/json"
	"hash/fnv"
	"math"
	"strconv"
	"strings"

	"github.com/kiwerk/kiwerk/internal/tracking/model"
)

// token says where a page ends. Clients pass it on without reading it.
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
	// Last are the values that order a search, of the last row of a page.
	Last []json.RawMessage `json:"last,omitempty"`
}

func (t token) encode() string {
	b, err := json.Marshal(t)
	if err != nil {
		return ""
	}
	return base64.StdEncoding.EncodeToString(b)
}

func parseToken(s, query string) (t token, err error) {
	if s == "" {
		return token{Query: query}, nil
	}
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return t, model.Invalid("Invalid page token, could not base64-decode")
	}
	if json.Unmarshal(b, &t) != nil || t.Offset < 0 {
		return t, model.Invalid("Invalid page token '%s'", model.Cut(s, 100))
	}
	if t.Query != "" && t.Query != query { // MLflow's own tokens name no query
		return t, model.Invalid("Invalid page token: it belongs to another search. Send the same filter, order_by and experiments with it.")
	}
	t.Query = query
	return t, nil
}

// queryHash identifies a search.
func queryHash(parts ...string) string {
	h := fnv.New64a()
	_, _ = h.Write([]byte(strings.Join(parts, "\x00"))) // never fails
	return strconv.FormatUint(h.Sum64(), 36)
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

func (t historyToken) encode() string {
	b, err := json.Marshal(t)
	if err != nil {
		return ""
	}
	return base64.StdEncoding.EncodeToString(b)
}

func parseHistoryToken(s, key string) (t historyToken, err error) {
	if s == "" {
		return historyToken{TS: math.MinInt64, Step: math.MinInt64, Value: -math.MaxFloat64, NaN: -1}, nil
	}
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil || json.Unmarshal(b, &t) != nil || t.Key != key {
		return t, model.Invalid("Invalid page token '%s' for metric '%s'", model.Cut(s, 100), key)
	}
	return t, nil
}
