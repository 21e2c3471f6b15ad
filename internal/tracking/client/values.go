package client

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Int is a 64-bit integer, which servers send as a number or as a string.
type Int int64

// UnmarshalJSON reads either form.
func (i *Int) UnmarshalJSON(b []byte) error {
	s := strings.Trim(string(b), `"`)
	if s == "null" || s == "" {
		return nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return fmt.Errorf("%q is no integer: %w", s, err)
	}
	*i = Int(n)
	return nil
}

// Float is a number that may be NaN or infinite, which JSON has as strings.
type Float float64

// UnmarshalJSON reads a number, or the names of those that JSON lacks. Some servers send these without quotes.
func (f *Float) UnmarshalJSON(b []byte) error {
	s := strings.Trim(string(b), `"`)
	switch s {
	case "null", "":
		return nil
	case "-Infinity":
		*f = Float(math.Inf(-1))
		return nil
	case "Infinity":
		*f = Float(math.Inf(1))
		return nil
	}
	v, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return fmt.Errorf("%q is no number: %w", s, err)
	}
	*f = Float(v)
	return nil
}

// String is the shortest decimal form, or the name that JSON uses.
func (f Float) String() string {
	switch v := float64(f); {
	case math.IsNaN(v):
		return "NaN"
	case math.IsInf(v, 1):
		return "Infinity"
	case math.IsInf(v, -1):
		return "-Infinity"
	default:
		return strconv.FormatFloat(v, 'g', -1, 64)
	}
}

// MarshalJSON writes what UnmarshalJSON reads.
func (f Float) MarshalJSON() ([]byte, error) {
	v := float64(f)
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return []byte(`"` + f.String() + `"`), nil
	}
	return json.Marshal(v)
}

// Pair is a tag or a param.
type Pair struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// Value of a key among pairs; ok tells whether it is there.
func Value(list []Pair, key string) (value string, ok bool) {
	for _, p := range list {
		if p.Key == key {
			return p.Value, true
		}
	}
	return "", false
}

// Map of pairs.
func Map(list []Pair) map[string]string {
	m := make(map[string]string, len(list))
	for _, p := range list {
		m[p.Key] = p.Value
	}
	return m
}
