package filter_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kiwerk/kiwerk/internal/tracking/filter"
)

var language = filter.Language{
	Entities: map[string]filter.Entity{
		"attribute": filter.Attribute, "metrics": filter.Metric, "params": filter.Param, "tags": filter.Tag, "dataset": filter.Dataset,
	},
	Attributes:    map[string]filter.Kind{"run_id": filter.Text, "run_name": filter.Text, "start_time": filter.Number, "version": filter.TextOrNumber},
	Aliases:       map[string]string{"run name": "run_name"},
	OrderBy:       []string{"start_time", "run_id"},
	OrderEntities: []filter.Entity{filter.Metric},
	Lists:         []string{"run_id"},
	Nulls:         []filter.Entity{filter.Tag},
}

func TestLanguage_Parse(t *testing.T) {
	cases := map[string]struct {
		text string
		want []filter.Comparison
	}{
		"Empty":        {"  ", nil},
		"Metric":       {"metrics.loss<=-1.5e-3", []filter.Comparison{{Entity: filter.Metric, Key: "loss", Op: filter.Le, Number: -1.5e-3}}},
		"Quoted":       {"metrics.`a b` > 1 and params.\"c d\"='x'", []filter.Comparison{{Entity: filter.Metric, Key: "a b", Op: filter.Gt, Number: 1}, {Entity: filter.Param, Key: "c d", Op: filter.Eq, Text: "x"}}},
		"Dots":         {"tags.mlflow.source.name != 'a.py'", []filter.Comparison{{Entity: filter.Tag, Key: "mlflow.source.name", Op: filter.Ne, Text: "a.py"}}},
		"Slashes":      {"metrics.val/top-1:x = 1", []filter.Comparison{{Entity: filter.Metric, Key: "val/top-1:x", Op: filter.Eq, Number: 1}}},
		"Doubled":      {`params.p = 'it''s' AND tags.t = "say ""x"""`, []filter.Comparison{{Entity: filter.Param, Key: "p", Op: filter.Eq, Text: "it's"}, {Entity: filter.Tag, Key: "t", Op: filter.Eq, Text: `say "x"`}}},
		"AndInside":    {"params.p = 'a AND b'", []filter.Comparison{{Entity: filter.Param, Key: "p", Op: filter.Eq, Text: "a AND b"}}},
		"Alias":        {"`run name` LIKE 'x%'", []filter.Comparison{{Entity: filter.Attribute, Key: "run_name", Op: filter.Like, Text: "x%"}}},
		"List":         {"run_id not in ('a', \"b\",)", []filter.Comparison{{Entity: filter.Attribute, Key: "run_id", Op: filter.NotIn, List: []string{"a", "b"}}}},
		"Null":         {"tags.x IS NULL AND tags.y is not null", []filter.Comparison{{Entity: filter.Tag, Key: "x", Op: filter.IsNull}, {Entity: filter.Tag, Key: "y", Op: filter.IsNotNull}}},
		"Attribute":    {"attribute.start_time >= 5", []filter.Comparison{{Entity: filter.Attribute, Key: "start_time", Op: filter.Ge, Number: 5}}},
		"TextOrNumber": {"version = '3' AND version < 4", []filter.Comparison{{Entity: filter.Attribute, Key: "version", Op: filter.Eq, Number: 3}, {Entity: filter.Attribute, Key: "version", Op: filter.Lt, Number: 4}}},
		"Dataset":      {"dataset.name IN ('a')", []filter.Comparison{{Entity: filter.Dataset, Key: "name", Op: filter.In, List: []string{"a"}}}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := language.Parse(c.text)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestLanguage_Parse_faults(t *testing.T) {
	for text, want := range map[string]string{
		"metrics.a > 1 OR metrics.b > 1":      "Invalid clause(s)",
		"(metrics.a > 1)":                     "Expected an identifier",
		"metrics.a > 1;":                      "Invalid clause(s)",
		"nothing":                             "Invalid clause(s)",
		"metrics.a > 1 AND nothing":           "Invalid clause(s)",
		"nothing AND metrics.a > 1":           "Invalid clause(s)",
		"metrics.a > 1 AND":                   "Invalid clause(s)",
		"metrics.a":                           "Expected a comparison operator",
		"metrics.a IS NULL":                   "only supported for tags",
		"metrics.a > 'x'":                     "Expected numeric value",
		"metrics.a > 1.2.3":                   "Invalid value for numeric",
		"params.p = 5":                        "Expected a quoted string value",
		"params.p = `x`":                      "Expected a quoted string value",
		"params.p < 'x'":                      "Invalid comparator",
		"params.p = 'x":                       "not closed",
		"spans.x = 'x'":                       "Invalid entity type 'spans'",
		"nothing = 'x'":                       "Invalid attribute key 'nothing'",
		"dataset.size = 'x'":                  "Invalid dataset key",
		"run_id IN ()":                        "expected a non-empty list of string values, but got empty list",
		"run_id IN (1)":                       "expected string value, punctuation, or whitespace, but got different type in list",
		"run_id IN (,)":                       "expected a non-empty list of string values, but got ill-formed list",
		"run_id IN ('a',,'b')":                "expected a non-empty list of string values, but got ill-formed list",
		"run_id IN ('a' 'b')":                 "ill-formed list",
		"run_id IN":                           "Invalid clause(s)",
		"run_id IN (":                         "Invalid clause(s)",
		"run_id IN ('a'":                      "Invalid clause(s)",
		"run_id IN 'a'":                       "Invalid clause(s)",
		"params.p LIKE":                       "Invalid clause(s)",
		"nothing = true":                      "Invalid clause(s)",
		"run_name IN ('a')":                   "Only ['run_id'] attributes support",
		"run_id NOT 'a'":                      "Expected a comparison operator",
		"params.p LIKE '%a%b%c%d%e%f%g%h%'":   "at most 1000 characters",
		"params.p = '\x00'":                   "not valid UTF-8",
		"metrics.a > 1 AND and metrics.b > 1": "Invalid attribute key 'and'",
	} {
		if _, err := language.Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestLanguage_ParseOrder(t *testing.T) {
	for text, want := range map[string]filter.Order{
		"start_time":           {Entity: filter.Attribute, Key: "start_time"},
		"metrics.`a b` desc":   {Entity: filter.Metric, Key: "a b", Desc: true},
		"attribute.run_id ASC": {Entity: filter.Attribute, Key: "run_id"},
	} {
		if got, err := language.ParseOrder(text); err != nil || got != want {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "start_time up", "a b c", "params.p", "run_name", "'x'", "start_time, run_id", "nothing"} {
		if _, err := language.ParseOrder(text); err == nil {
			t.Errorf("%q was accepted", text)
		}
	}
}

func FuzzLanguage_Parse(f *testing.F) {
	for _, s := range []string{"metrics.a > 1 AND params.`b` LIKE '%x'", "run_id IN ('a', 'b')", "tags.\"x\" IS NOT NULL", "version = '3'", "''", "a.b.c=\"", "metrics.a>1AND", "é.ü = 'ß'"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		list, err := language.Parse(text)
		if err != nil {
			return
		}
		for _, c := range list {
			if c.Op == "" || c.Entity == "" || c.Key == "" && c.Entity == filter.Attribute {
				t.Errorf("%q: %+v", text, c)
			}
		}
		if _, err := language.ParseOrder(text); err != nil {
			return
		}
	})
}
