package graphql

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"unicode"

	"github.com/vektah/gqlparser/v2/ast"

	"github.com/kiwerk/kiwerk/internal/server"
)

// execution is one query on its way.
type execution struct {
	*Handler
	judge     server.Judge
	doc       *ast.QueryDocument
	variables map[string]any
	problems  []string
	// experiments that were asked for: runs of one search share theirs.
	experiments map[any]any
	// runs are the ids of the list that is being written, and versions what was made by them.
	runs     []string
	versions map[string][]any
}

// message is an object of the REST API.
type message = map[string]any

func (x *execution) operation(ctx context.Context, op *ast.OperationDefinition) []byte {
	root := x.schema.Query
	if op.Operation == ast.Mutation {
		root = x.schema.Mutation
	}
	var out bytes.Buffer
	x.object(ctx, &out, root, op.SelectionSet, func(f *ast.Field) any { return x.root(ctx, f) })
	return out.Bytes()
}

// root calls what a root field stands for. One that fails is null, and the
// others are answered.
func (x *execution) root(ctx context.Context, f *ast.Field) any {
	args := f.ArgumentMap(x.variables)
	name, ok := strings.CutPrefix(f.Name, "mlflow")
	if !ok { // test and testMutation
		return message{"output": args["inputString"]}
	}
	input, _ := args["input"].(map[string]any)
	return x.call(ctx, name, input)
}

// call returns the answer, or nil after an error.
func (x *execution) call(ctx context.Context, name string, input map[string]any) any {
	answer, err := x.tryCall(ctx, name, input)
	if err != nil {
		x.problems = append(x.problems, server.AsError(err).Message)
		return nil
	}
	if answer == nil {
		return nil
	}
	return answer
}

func (x *execution) tryCall(ctx context.Context, name string, input map[string]any) (answer message, err error) {
	if err := server.Permit(ctx, permissions[name]); err != nil {
		return nil, err
	}
	if input == nil {
		input = map[string]any{}
	}
	body, err := json.Marshal(input)
	if err != nil {
		return nil, err
	}
	body, err = x.calls[name](ctx, x.judge, body)
	if err != nil && server.AsError(err).Status == http.StatusForbidden {
		return nil, nil //nolint:nilnil // What the judge keeps back is null without a word, as upstream has it.
	}
	if err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	return answer, d.Decode(&answer)
}

// object writes the selected fields, whose values get gives, in the order in which they were selected.
func (x *execution) object(ctx context.Context, out *bytes.Buffer, t *ast.Definition, set ast.SelectionSet, get func(*ast.Field) any) {
	fields := x.collect(set, nil)
	out.WriteByte('{')
	for i, f := range fields {
		if i > 0 {
			out.WriteByte(',')
		}
		write(out, f.Alias)
		out.WriteByte(':')
		if f.Name == "__typename" {
			write(out, t.Name)
			continue
		}
		if f.Definition == nil || strings.HasPrefix(f.Name, "__") {
			x.problems = append(x.problems, "the schema cannot be asked for; it lies in internal/tracking/graphql/schema.graphql")
			out.WriteString("null")
			continue
		}
		x.value(ctx, out, f.Definition.Type, f, get(f))
	}
	out.WriteByte('}')
}

// collect lists the fields of one object; two of the same name are one, with the selections of both.
func (x *execution) collect(set ast.SelectionSet, fields []*ast.Field) []*ast.Field {
	for _, s := range set {
		switch s := s.(type) {
		case *ast.Field:
			if x.wanted(s.Directives) {
				fields = merge(fields, s)
			}
		case *ast.InlineFragment:
			if x.wanted(s.Directives) {
				fields = x.collect(s.SelectionSet, fields)
			}
		case *ast.FragmentSpread:
			if x.wanted(s.Directives) && s.Definition != nil {
				fields = x.collect(s.Definition.SelectionSet, fields)
			}
		}
	}
	return fields
}

func merge(fields []*ast.Field, f *ast.Field) []*ast.Field {
	for i, other := range fields {
		if other.Alias == f.Alias {
			both := *other
			both.SelectionSet = append(append(ast.SelectionSet{}, other.SelectionSet...), f.SelectionSet...)
			fields[i] = &both
			return fields
		}
	}
	return append(fields, f)
}

func (x *execution) wanted(list ast.DirectiveList) bool {
	if d := list.ForName("skip"); d != nil && d.ArgumentMap(x.variables)["if"] == true {
		return false
	}
	d := list.ForName("include")
	return d == nil || d.ArgumentMap(x.variables)["if"] == true
}

// value writes a value of a type; nil has been reported already or is not set.
func (x *execution) value(ctx context.Context, out *bytes.Buffer, t *ast.Type, f *ast.Field, v any) {
	if t.Elem != nil {
		list, _ := v.([]any)
		if t.Elem.Name() == runType {
			x.runs = idsOf(list)
		}
		out.WriteByte('[')
		for i, e := range list {
			if i > 0 {
				out.WriteByte(',')
			}
			x.value(ctx, out, t.Elem, f, e)
		}
		out.WriteByte(']')
		return
	}
	d := x.schema.Types[t.Name()]
	if d.Kind != ast.Object {
		write(out, scalar(d, v))
		return
	}
	m, ok := v.(message)
	if !ok {
		out.WriteString("null")
		return
	}
	x.object(ctx, out, d, f.SelectionSet, func(f *ast.Field) any { return x.field(ctx, d, m, f) })
}

// field is a field of a message; one that is not set is empty.
func (x *execution) field(ctx context.Context, t *ast.Definition, m message, f *ast.Field) any {
	if t.Name == runType {
		info, _ := m["info"].(message)
		switch f.Name {
		case "experiment":
			id := info["experiment_id"]
			if _, asked := x.experiments[id]; !asked {
				answer, _ := x.call(ctx, "GetExperiment", map[string]any{"experiment_id": id}).(message)
				x.experiments[id] = answer["experiment"]
			}
			return x.experiments[id]
		case "modelVersions":
			id, _ := info["run_id"].(string)
			return x.versionsOf(ctx, id)
		}
	}
	v := m[snake(f.Name)]
	if v == nil && f.Name != "apiError" && x.schema.Types[f.Definition.Type.Name()].Kind == ast.Object && f.Definition.Type.Elem == nil {
		return message{}
	}
	return v
}

const runType = "MlflowRunExtension"

func idsOf(runs []any) (ids []string) {
	for _, r := range runs {
		m, _ := r.(message)
		info, _ := m["info"].(message)
		if id, ok := info["run_id"].(string); ok {
			ids = append(ids, id)
		}
	}
	return ids
}

// maxRuns bounds the runs whose versions are asked for at once.
const maxRuns = 1000

// versionsOf finds the model versions that a run has made, and those of the
// runs that follow it in the list, whose turn comes next.
func (x *execution) versionsOf(ctx context.Context, run string) any {
	if list, asked := x.versions[run]; asked {
		return list
	}
	ids := []string{run}
	if i := slices.Index(x.runs, run); i >= 0 {
		ids = x.runs[i:min(i+maxRuns, len(x.runs))]
	}
	for _, id := range ids {
		x.versions[id] = nil
	}
	answer, _ := x.call(ctx, "SearchModelVersions", map[string]any{"filter": "run_id IN ('" + strings.Join(ids, "','") + "')"}).(message)
	list, _ := answer["model_versions"].([]any)
	for _, v := range list {
		m, _ := v.(message)
		id, _ := m["run_id"].(string)
		x.versions[id] = append(x.versions[id], v)
	}
	return x.versions[run]
}

// scalar gives a value the form of its type.
func scalar(t *ast.Definition, v any) any {
	if v == nil {
		return zero(t)
	}
	switch t.Name {
	case "LongString":
		if n, ok := v.(json.Number); ok {
			return n.String()
		}
	case "Float":
		if s, ok := v.(string); ok && s == "NaN" {
			return nil // JSON has no NaN
		}
	}
	return v
}

func zero(t *ast.Definition) any {
	switch {
	case t.Kind == ast.Enum:
		return t.EnumValues[0].Name
	case t.Name == "LongString":
		return "0"
	case t.Name == "Boolean":
		return false
	case t.Name == "Float" || t.Name == "Int":
		return 0
	}
	return ""
}

// snake writes runId as run_id.
func snake(name string) string {
	var b strings.Builder
	for _, r := range name {
		if unicode.IsUpper(r) {
			b.WriteByte('_')
			r = unicode.ToLower(r)
		}
		b.WriteRune(r)
	}
	return b.String()
}

func write(out *bytes.Buffer, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		b = []byte("null") // values come from JSON, which can be written
	}
	out.Write(b)
}
