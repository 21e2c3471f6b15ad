package route

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/kiwerk/kiwerk/internal/tracking/model"
)

type path struct{ id string }

type tree struct {
	Run      string `about:"run"`
	Children []tree
}

type every struct {
	path `about:"dataset"`

	Run    string   `about:"run"`
	Source *string  `about:"run,read"`
	Traces []string `about:"trace,maybe"`
	In     string   `about:"experiment,of run,zero"`
	Name   string   `about:"- a text"`
	Other  string
	Inner  struct {
		Models []struct {
			ID string `about:"logged_model"`
		}
	}
	fast *model.Batch
	tree *tree
}

func TestMentions(t *testing.T) {
	source := "s"
	e := every{path: path{"d"}, Run: "r", Source: &source, Traces: []string{"t", ""}, In: "7", Name: "n", Other: "o", fast: &model.Batch{Metrics: []model.Metric{{Key: "k"}, {ModelID: "m2"}}}}
	e.Inner.Models = append(e.Inner.Models, struct {
		ID string `about:"logged_model"`
	}{"m1"})
	e.tree = &tree{Run: "a", Children: []tree{{Run: "deeper"}}}
	cases := map[string]struct {
		req  any
		want []Mention
	}{
		"Every": {&e, []Mention{
			{Kind: "dataset", ID: "d"},
			{Kind: "run", ID: "r"},
			{Kind: "run", ID: "s", Act: "read"},
			{Kind: "trace", ID: "t", Maybe: true},
			{Kind: "trace", Maybe: true}, // in a list nothing is something, too
			{Kind: "experiment", ID: "7", Of: "run"},
			{Kind: "logged_model", ID: "m1"},
			{Kind: "logged_model", ID: "m2"},
			{Kind: "run", ID: "a"},
			{Kind: "run", ID: "deeper"},
		}},
		"Empty":  {&every{}, []Mention{{Kind: "experiment", Of: "run"}}},
		"NoTags": {&struct{ Run string }{"r"}, nil},
		"None":   {nil, nil},
		"NoKind": {new(string), nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var got []Mention
			for m := range Mentions(c.req) {
				got = append(got, m)
			}
			if diff := cmp.Diff(c.want, got, cmpopts.IgnoreUnexported(Mention{})); diff != "" {
				t.Error(diff)
			}
		})
	}
	for range Mentions(&e) {
		break // a judge that refuses stops at the first
	}
}

func TestDeclared(t *testing.T) {
	for name, c := range map[string]struct {
		req  any
		want bool
	}{
		"Tags":   {&every{}, true},
		"Scope":  {&struct{ Scope }{}, true},
		"NoTags": {&struct{ Run string }{}, false},
		"Dash": {&struct {
			Name string `about:"- a text"`
		}{}, false},
		"Nil": {nil, false}, "NoStruct": {new(int), false},
	} {
		if got := Declared(c.req); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
