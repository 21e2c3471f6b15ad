package expand

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/util/intstr"

	argo "github.com/kiwerk/kiwerk/api/argo/v1alpha1"
)

func testScope() *Scope {
	s := NewScope(nil)
	s.Set("workflow.name", "wf")
	inner := s.Inner()
	inner.Set("inputs.parameters.name", "Ada")
	inner.Set("inputs.parameters.number", "41")
	inner.Set("inputs.parameters.json", `{"a":{"b":[1,2]}}`)
	inner.Set("inputs.parameters.tag", "{{workflow.name}}")
	inner.Set("inputs.parameters.quote", `say "hi"`)
	inner.Set("inputs.parameters.with-dash", "dash")
	inner.Set("item", "name")
	inner.SetArtifact("inputs.artifacts.file", argo.Artifact{Name: "file"})
	inner.SetAbsent("steps.skipped.outputs.parameters.x")
	return inner
}

func TestText(t *testing.T) {
	for name, c := range map[string]struct{ in, want, err string }{
		"Plain":            {in: "no tags", want: "no tags"},
		"Simple":           {in: "I am {{inputs.parameters.name}}.", want: "I am Ada."},
		"Spaces":           {in: "{{ workflow.name }}", want: "wf"},
		"Nested":           {in: "{{inputs.parameters.{{item}}}}", want: "Ada"},
		"ValueIsNotATag":   {in: "{{inputs.parameters.tag}}", want: "{{workflow.name}}"},
		"Foreign":          {in: "{{ .Values.x }} {{jinja}}", want: "{{ .Values.x }} {{jinja}}"},
		"NotClosed":        {in: "a {{ b", want: "a {{ b"},
		"Unknown":          {in: "{{inputs.parameters.nobody}}", err: "failed to resolve {{inputs.parameters.nobody}}"},
		"Expression":       {in: "{{=asInt(inputs.parameters.number) + 1}}", want: "42"},
		"ExpressionString": {in: `{{= inputs.parameters.name + "!" }}`, want: "Ada!"},
		"ExpressionIndex":  {in: `{{=inputs.parameters['with-dash']}}`, want: "dash"},
		"ExpressionMap":    {in: `{{=toJson({"a": {"b": 1}})}}`, want: `{"a":{"b":1}}`},
		"ExpressionBraces": {in: `{{={"a":"}}"}["a"]}}`, want: "}}"},
		"ExpressionTernary": {
			in:   `{{=asFloat(inputs.parameters.number) > 40.5 ? "big" : "small"}}`,
			want: "big",
		},
		"ExpressionNested":   {in: `{{=asInt({{inputs.parameters.number}}) * 2}}`, want: "82"},
		"ExpressionJSONPath": {in: `{{=jsonpath(inputs.parameters.json, "$.a.b[1]")}}`, want: "2"},
		"ExpressionSprig":    {in: `{{=sprig.trim("  x ")}}{{=sprig.upper("y")}}`, want: "xY"},
		"ExpressionList":     {in: `{{=filter([1,2,3], {# > 1})}}`, want: "[2,3]"},
		"ExpressionFallback": {in: `{{=steps.skipped.outputs.parameters.x ?? "none"}}`, want: "none"},
		"ExpressionNil":      {in: `{{=steps.skipped.outputs.parameters.x}}`, err: "has no value"},
		"ExpressionBroken":   {in: `{{=1 +}}`, err: "failed to evaluate {{=1 +}}"},
		"SprigWithoutEnv":    {in: `{{=sprig.env("HOME")}}`, err: "failed to evaluate"},
		"SprigBounded":       {in: `{{=sprig.repeat(100000000, "x")}}`, err: "is larger than 100000"},
		"SprigRepeat":        {in: `{{=sprig.repeat(3, "x")}}`, want: "xxx"},
		"TooDeep":            {in: strings.Repeat("{{", 20) + strings.Repeat("}}", 20), err: "nested more than"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Text(c.in, testScope())
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("error %v, want %q (got %q)", err, c.err, got)
				}
				return
			}
			if err != nil || got != c.want {
				t.Fatalf("%q, %v; want %q", got, err, c.want)
			}
		})
	}
}

func TestTree_keepsJSONValid(t *testing.T) {
	got, err := Tree(map[string]any{"{{item}}": []any{"{{inputs.parameters.quote}}", 1.5, true}}, testScope())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]any{"name": []any{`say "hi"`, 1.5, true}}, got); diff != "" {
		t.Error(diff)
	}
}

// The semantics that workflows rely on: words without quotes are strings.
func TestWhen(t *testing.T) {
	for condition, want := range map[string]bool{
		"":                                      true,
		"true":                                  true,
		"false":                                 false,
		"heads == heads":                        true,
		"heads == tails":                        false,
		`"heads" == heads`:                      true,
		"'heads' != tails":                      true,
		"1 == 1":                                true,
		"0.95 >= 0.9":                           true,
		"10 > 9 && foo == foo":                  true,
		"(a == b) || (c == c)":                  true,
		"!(a == b)":                             true,
		"a in ('a', 'b')":                       true,
		"'abc' =~ '^a.c$'":                      true,
		"5 % 2 == 1":                            true,
		"'' == ''":                              true,
		"Succeeded == Succeeded && 3 in (1, 3)": true,
	} {
		if got, err := When(condition); err != nil || got != want {
			t.Errorf("%q: %v, %v; want %v", condition, got, err, want)
		}
	}
	for condition, want := range map[string]string{
		"1 + 1":   "expected boolean evaluation",
		"heads":   "expected boolean evaluation",
		"a ==":    "invalid 'when' expression 'a =='",
		"(a == b": "invalid 'when' expression",
	} {
		if _, err := When(condition); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", condition, err, want)
		}
	}
}

func TestParseDepends(t *testing.T) {
	state := map[string]Result{"a": Succeeded, "task-b": Failed, "c": Skipped}
	holds := func(task string, r Result) bool {
		if r == "" {
			return state[task] == Succeeded || state[task] == Skipped
		}
		return state[task] == r
	}
	for text, want := range map[string]bool{
		"":                                 true,
		"a":                                true,
		"task-b":                           false,
		"task-b.Failed":                    true,
		"a && task-b":                      false,
		"a || task-b":                      true,
		"a && (task-b.Failed || c.Failed)": true,
		"!task-b && c":                     true,
		"!(a && c.Skipped)":                false,
		" a&&c ":                           true,
	} {
		d, err := ParseDepends(text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if got := d.Eval(holds); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
	for text, want := range map[string]string{
		"a &&":      "expected the name of a task",
		"a b":       "unexpected",
		"(a":        "missing )",
		"a.Success": "task result 'Success' for task 'a' is invalid",
		"a & b":     "unexpected",
	} {
		if _, err := ParseDepends(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", text, err, want)
		}
	}
	d, err := ParseDepends("b && (a || b.Failed)")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"b", "a"}, d.Tasks()); diff != "" {
		t.Error(diff)
	}
}

func number1(s string) *intstr.IntOrString { v := intstr.Parse(s); return &v }

func TestItems(t *testing.T) {
	s := testScope()
	s.Set("inputs.parameters.list", `[1, "two", {"k": "v"}]`)
	raws := func(texts ...string) []argo.Item {
		var items []argo.Item
		for _, text := range texts {
			items = append(items, argo.Item{Raw: json.RawMessage(text)})
		}
		return items
	}
	for name, c := range map[string]struct {
		loop argo.Loop
		want []string
		err  string
	}{
		"Items":         {loop: argo.Loop{WithItems: raws(`"a"`, `1`, `true`, `{"x":1}`)}, want: []string{"a", "1", "true", `{"x":1}`}},
		"ItemsWithTags": {loop: argo.Loop{WithItems: raws(`"{{workflow.name}}"`)}, want: []string{"wf"}},
		"Param":         {loop: argo.Loop{WithParam: "{{inputs.parameters.list}}"}, want: []string{"1", "two", `{"k": "v"}`}},
		"ParamEmpty":    {loop: argo.Loop{WithParam: "[]"}, want: []string{}},
		"ParamNoList":   {loop: argo.Loop{WithParam: "nothing"}, err: "withParam value could not be parsed as a JSON list: nothing"},
		"Count":         {loop: argo.Loop{WithSequence: &argo.Sequence{Count: number1("3")}}, want: []string{"0", "1", "2"}},
		"CountZero":     {loop: argo.Loop{WithSequence: &argo.Sequence{Count: number1("0")}}, want: []string{}},
		"StartCount":    {loop: argo.Loop{WithSequence: &argo.Sequence{Start: number1("5"), Count: number1("2")}}, want: []string{"5", "6"}},
		"Down":          {loop: argo.Loop{WithSequence: &argo.Sequence{Start: number1("2"), End: number1("0")}}, want: []string{"2", "1", "0"}},
		"Format":        {loop: argo.Loop{WithSequence: &argo.Sequence{Count: number1("2"), Format: "user%02X"}}, want: []string{"user00", "user01"}},
		"FormatTag": {
			loop: argo.Loop{WithSequence: &argo.Sequence{End: number1("{{inputs.parameters.number}}"), Start: number1("41")}},
			want: []string{"41"},
		},
		"BadFormat": {loop: argo.Loop{WithSequence: &argo.Sequence{Count: number1("2"), Format: "%s %999999d"}}, err: "expected one integer verb"},
		"TooMany":   {loop: argo.Loop{WithSequence: &argo.Sequence{End: number1("100000000")}}, err: "more than 100000 items"},
		"Overflow":  {loop: argo.Loop{WithSequence: &argo.Sequence{Start: number1("-9223372036854775808"), End: number1("9223372036854775807")}}, err: "more than 100000 items"},
		"Neither":   {loop: argo.Loop{WithSequence: &argo.Sequence{}}, err: "count or end is required"},
	} {
		t.Run(name, func(t *testing.T) {
			items, _, err := Items(c.loop, s)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("error %v, want %q", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got := []string{}
			for _, i := range items {
				got = append(got, i.Text())
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestItemName(t *testing.T) {
	for raw, want := range map[string]string{
		`"a (b)"`:           "s(0:a b)",
		`3`:                 "s(0:3)",
		`{"b":"2","a":"1"}`: "s(0:a:1,b:2)",
		`[1,2]`:             "s(0:[1,2])",
	} {
		if got := ItemName("s", 0, argo.Item{Raw: json.RawMessage(raw)}); got != want {
			t.Errorf("%s: %q, want %q", raw, got, want)
		}
	}
}

func FuzzText(f *testing.F) {
	for _, seed := range []string{"{{workflow.name}}", "{{={\"a\":1}}}", "{{inputs.parameters.{{item}}}}", "{{=", "}}{{", "{{=sprig.trim('x')}}", "{{={{{{}}"} {
		f.Add(seed)
	}
	s := testScope()
	f.Fuzz(func(t *testing.T, in string) {
		if len(in) > 4096 {
			return
		}
		out, err := Text(in, s)
		if err == nil && !strings.Contains(in, "{{") && out != in {
			t.Errorf("%q became %q", in, out)
		}
		Tags(in)
	})
}

func FuzzWhen(f *testing.F) {
	for _, seed := range []string{"a == b", "1 in (1,2)", "'x' =~ '['", "!(a)", "a ? b : c", "1 ?? 2", "(((", "a,b", "[x] == 1"} {
		f.Add(seed)
	}
	f.Fuzz(func(_ *testing.T, in string) {
		if len(in) <= 1024 {
			_, _ = When(in)
		}
	})
}

func FuzzParseDepends(f *testing.F) {
	for _, seed := range []string{"a && b.Failed", "!(a||b)", "a.Succeeded&&", "((((a))))", "!!!a"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		d, err := ParseDepends(in)
		if err != nil {
			return
		}
		d.Eval(func(task string, _ Result) bool {
			if task == "" {
				t.Errorf("%q has a task without a name", in)
			}
			return true
		})
	})
}
