package rest

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/kiwerk/kiwerk/internal/server"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
	"github.com/kiwerk/kiwerk/internal/tracking/route"
	"github.com/kiwerk/kiwerk/internal/tracking/store"
)

// The prompt lab of MLflow's web page keeps what was tried with a prompt as a
// run: params, a table with the answer, and a model that asks the same route.

type createPromptRun struct {
	Experiment       string           `ml:"experiment_id" about:"experiment,of run"`
	Name             string           `ml:"run_name" about:"- need not be the only one"`
	Tags             []route.PairIn   `ml:"tags"`
	Template         string           `ml:"prompt_template"`
	Parameters       []promptLabParam `ml:"prompt_parameters"`
	Route            string           `ml:"model_route"`
	ModelParameters  []promptLabParam `ml:"model_parameters"`
	Input            string           `ml:"model_input"`
	Output           string           `ml:"model_output"`
	OutputParameters []promptLabParam `ml:"model_output_parameters"`
	Version          string           `ml:"mlflow_version"`
	User             string           `ml:"user_id" about:"- a text"`
	Start            *int64           `ml:"start_time"`
}

type promptLabParam struct {
	Key   string     `ml:"key"`
	Value looseValue `ml:"value"`
}

// looseValue is a text, or a number or boolean as one.
type looseValue string

// SetJSON implements mlwire.Custom.
func (l *looseValue) SetJSON(value any) bool {
	switch v := value.(type) {
	case string:
		*l = looseValue(v)
	case json.Number:
		*l = looseValue(v.String())
	case bool:
		*l = "False"
		if v {
			*l = "True"
		}
	default:
		return false
	}
	return true
}

func (a *API) promptLab() []server.Endpoint {
	return call(a, "POST", "/runs/create-promptlab-run", "create", route.Experiments, "keep what was tried with a prompt", route.Small, a.createPromptRun)[1:] // as upstream, under /ajax-api only
}

func (q *createPromptRun) check() error {
	for _, f := range []struct {
		name string
		told bool
	}{
		{"experiment_id", q.Experiment != ""},
		{"prompt_template", q.Template != ""},
		{"prompt_parameters", len(q.Parameters) > 0},
		{"model_route", q.Route != ""},
		{"model_input", q.Input != ""},
		{"mlflow_version", q.Version != ""},
	} {
		if !f.told {
			return model.Invalid("CreatePromptlabRun request must specify %s.", f.name)
		}
	}
	return route.CheckKeys("tags", q.Tags)
}

func (a *API) createPromptRun(ctx context.Context, q *createPromptRun) (*route.One[newRunJSON], error) {
	if err := q.check(); err != nil {
		return nil, err
	}
	namespace, now := server.NamespaceOf(ctx), a.o.Clock()
	n := store.NewRun{Experiment: q.Experiment, User: q.User, Name: q.Name, Tags: route.PairsIn(q.Tags), Start: now.UnixMilli()}
	if q.Start != nil {
		n.Start = *q.Start
	}
	if n.User == "" {
		n.User = server.UserOf(ctx).Name
	}
	r, err := a.store.CreateRun(ctx, namespace, n)
	if err != nil {
		return nil, err
	}
	failed := a.fillPromptRun(ctx, r.RunInfo, q, now)
	end, status := a.o.Clock().UnixMilli(), model.Finished
	if failed != nil {
		status = model.Failed
	}
	_, err = a.store.UpdateRun(ctx, namespace, r.ID, store.RunChange{Status: &status, End: &end})
	if err := errors.Join(failed, err); err != nil {
		return nil, err
	}
	r, err = a.store.Run(ctx, namespace, r.ID)
	return route.OneOf("run", newRunJSON(r), err)
}

// fillPromptRun writes what belongs to the run.
func (a *API) fillPromptRun(ctx context.Context, r model.RunInfo, q *createPromptRun, now time.Time) error {
	b := model.Batch{
		Params: append(pairsOf(q.ModelParameters), model.Pair{Key: "model_route", Value: q.Route}, model.Pair{Key: "prompt_template", Value: q.Template}),
		Tags: []model.Pair{
			{Key: "mlflow.loggedArtifacts", Value: `[{"path": "` + resultsFile + `", "type": "table"}]`},
			{Key: "mlflow.runSourceType", Value: "PROMPT_ENGINEERING"},
		},
	}
	if err := a.store.LogBatch(ctx, server.NamespaceOf(ctx), r.ID, b); err != nil {
		return err
	}
	files, entry, err := q.files(r.ID, now)
	if err != nil {
		return err
	}
	for name, content := range files {
		p, err := a.placeOf(ctx, r.ArtifactURI, name)
		if err != nil {
			return publicError(err)
		}
		if _, _, err := a.write(ctx, p, strings.NewReader(content)); err != nil {
			return publicError(err)
		}
	}
	return a.store.AppendHistory(ctx, server.NamespaceOf(ctx), r.ID, entry)
}

func pairsOf(list []promptLabParam) []model.Pair {
	return route.Convert(list, func(p promptLabParam) model.Pair { return model.Pair{Key: p.Key, Value: string(p.Value)} })
}

const resultsFile = "eval_results_table.json"

// files are the table and the model, whose YAML is written as the JSON that
// YAML contains, and what the run remembers of the model.
func (q *createPromptRun) files(run string, now time.Time) (files map[string]string, entry json.RawMessage, err error) {
	var columns, inputs []string
	var row []any
	type column struct {
		Type     string `json:"type"`
		Name     string `json:"name"`
		Required bool   `json:"required"`
	}
	var schema []column
	add := func(list []promptLabParam) {
		for _, p := range list {
			columns, row = append(columns, p.Key), append(row, p.Value)
		}
	}
	add(q.Parameters)
	for _, p := range q.Parameters {
		schema, inputs = append(schema, column{"string", p.Key, true}), append(inputs, string(p.Value))
	}
	columns, row = append(columns, "prompt", "output"), append(row, q.Input, q.Output)
	add(q.OutputParameters)

	files = map[string]string{"model/requirements.txt": "mlflow[gateway]==" + q.Version + "\n"}
	put := func(name string, v any) (text string) {
		b, e := json.Marshal(v)
		err = errors.Join(err, e)
		if name != "" {
			files[name] = string(b)
		}
		return string(b)
	}
	flavors := map[string]any{"python_function": map[string]any{
		"loader_module": "mlflow.prompt.promptlab_model", "parameters_path": "parameters.yaml", "env": map[string]string{"virtualenv": "python_env.yaml"},
	}}
	made := now.UTC().Format("2006-01-02 15:04:05.000000")
	put(resultsFile, map[string]any{"columns": columns, "data": []any{row}})
	put("model/parameters.yaml", map[string]any{
		"prompt_template": q.Template, "prompt_parameters": mapped(q.Parameters), "model_parameters": mapped(q.ModelParameters), "model_route": q.Route,
	})
	put("model/python_env.yaml", map[string]any{"build_dependencies": []string{"pip"}, "dependencies": []string{"-r requirements.txt"}})
	put("model/input_example.json", map[string]any{"inputs": inputs})
	put("model/MLmodel", map[string]any{
		"artifact_path": "model", "run_id": run, "utc_time_created": made, "mlflow_version": q.Version, "flavors": flavors,
		"saved_input_example_info": map[string]string{"artifact_path": "input_example.json", "type": "json_object"},
		"signature":                map[string]any{"inputs": put("", schema), "outputs": put("", []column{{"string", "output", true}}), "params": nil},
	})
	entry = json.RawMessage(put("", map[string]any{"artifact_path": "model", "run_id": run, "utc_time_created": made, "flavors": flavors}))
	return files, entry, err
}

func mapped(list []promptLabParam) map[string]string {
	m := make(map[string]string, len(list))
	for _, p := range list {
		m[p.Key] = string(p.Value)
	}
	return m
}
