package migrate

import (
	"math"
	"testing"

	"github.com/kiwerk/kiwerk/internal/tracking/model"
)

func FuzzParsePoint(f *testing.F) {
	for _, line := range []string{"1 0.5", "1 nan 2", "3 0.7 1 d 1", "3 0.7 1 run a b 1", "3 1e999 -4", "x 1", "1 ", "1 2 3 4", ""} {
		f.Add(line, false)
		f.Add(line, true)
	}
	f.Fuzz(func(t *testing.T, line string, ofModel bool) {
		m, err := parsePoint(line, ofModel)
		if err != nil {
			return
		}
		again, err := parsePoint(string(appendPoint(nil, m, "")[:len(appendPoint(nil, m, ""))-1]), false)
		same := again.Value == m.Value || math.IsNaN(again.Value) && math.IsNaN(m.Value)
		if err != nil || !same || again.Timestamp != m.Timestamp || again.Step != m.Step {
			t.Errorf("%q: %+v became %+v, %v", line, m, again, err)
		}
	})
}

func FuzzParseMeta(f *testing.F) {
	for _, text := range []string{"a: 1\nb: '2'", "experiment_id: 0x1", "a: &a [*a]", "{", "", "? [a]\n: b", "a: !!binary x", "1: 2"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(_ *testing.T, b []byte) {
		m, err := parseMeta(b)
		if err != nil {
			return
		}
		for name := range m {
			_ = m.text(name)
			_, _ = m.number(name)
		}
		_ = namespaceOf(m)
	})
}

func TestParsePoint(t *testing.T) {
	for line, want := range map[string]model.Metric{
		"10 0.5":                {Timestamp: 10, Value: 0.5},
		"10 0.5 3":              {Timestamp: 10, Value: 0.5, Step: 3},
		"10 0.5 3 my data abc":  {Timestamp: 10, Value: 0.5, Step: 3, DatasetName: "my data", DatasetDigest: "abc"},
		"10 -inf -3":            {Timestamp: 10, Value: math.Inf(-1), Step: -3},
		"10 1.5e3 3 data abc12": {Timestamp: 10, Value: 1500, Step: 3, DatasetName: "data", DatasetDigest: "abc12"},
	} {
		if got, err := parsePoint(line, false); err != nil || got != want {
			t.Errorf("%q: %+v, %v", line, got, err)
		}
	}
	for _, line := range []string{"10", "x 1", "1 x", "1 1 x", "1 1 1 name"} {
		if _, err := parsePoint(line, false); err == nil {
			t.Errorf("%q was read", line)
		}
	}
}
