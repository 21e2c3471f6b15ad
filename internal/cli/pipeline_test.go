package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kiwerk/kiwerk/internal/text"
)

const storedRun = `{
	"metadata": {"name": "train-1", "namespace": "default", "creationTimestamp": "2026-11-24T08:00:00Z"},
	"spec": {"workflowTemplateRef": {"name": "train"}, "arguments": {"parameters": [{"name": "epochs", "value": 20}]}},
	"status": {
		"phase": "Failed", "progress": "1/2", "message": "child failed", "startedAt": "2026-11-24T08:00:00Z", "finishedAt": "2026-11-24T08:01:30Z",
		"conditions": [{"type": "SpecWarning", "status": "True", "message": "spec.x: unknown field, ignored"}],
		"nodes": {
			"train-1": {"id": "train-1", "name": "train-1", "displayName": "train-1", "type": "DAG", "phase": "Failed"},
			"train-1-11": {"id": "train-1-11", "name": "train-1.a", "displayName": "a", "type": "Pod", "phase": "Succeeded", "templateName": "step",
				"startedAt": "2026-11-24T08:00:00Z", "finishedAt": "2026-11-24T08:00:30Z", "outputs": {"parameters": [{"name": "accuracy", "value": "0.97"}]}},
			"train-1-22": {"id": "train-1-22", "name": "train-1.b(0)", "displayName": "b(0)", "type": "Pod", "phase": "Failed", "templateName": "step",
				"startedAt": "2026-11-24T08:00:40Z", "message": "exit code 3"}
		}
	}
}`

// argoServer answers as the platform does for one stored run; requests go to asked.
func argoServer(asked *[]string) func(context.Context, Session, string, string, any, any) error {
	return func(_ context.Context, _ Session, method, path string, body, answer any) error {
		line := method + " " + path
		if body != nil {
			b, err := json.Marshal(body)
			if err != nil {
				return err
			}
			line += " " + string(b)
		}
		if asked != nil {
			*asked = append(*asked, line)
		}
		const all = "/api/v1/workflows/default"
		switch {
		case method == "GET" && path == all:
			return json.Unmarshal([]byte(`{"items":[`+storedRun+`]}`), answer)
		case path == all+"/old/resubmit" || path == all+"/again":
			return json.Unmarshal([]byte(`{"metadata":{"name":"again","namespace":"default"},"status":{"phase":"Succeeded"}}`), answer)
		case method == "GET" && path == all+"/missing":
			return &Failure{Code: ExitNotFound, What: text.S(text.Verbatim, `workflows "missing" not found`)}
		default:
			return json.Unmarshal([]byte(storedRun), answer)
		}
	}
}

// runPipeline runs a command against the stored run and returns what was asked and how kubectl was called.
func runPipeline(t *testing.T, in string, args ...string) (r result, asked []string, kubectl []string) {
	t.Helper()
	var seen []any
	p, out, errs := program(&seen, nil, append([]string{"pipeline"}, args...)...)
	p.In = strings.NewReader(in)
	p.Call = argoServer(&asked)
	p.Kubectl = func(_ context.Context, _ Session, args []string) error { kubectl = args; return nil }
	code := Run(t.Context(), p)
	return result{code, out.String(), errs.String()}, asked, kubectl
}

func TestPipeline_asksThePlatform(t *testing.T) {
	const all = "/api/v1/workflows/default"
	file := filepath.Join(t.TempDir(), "train.yaml")
	manifest := "kind: Workflow\nmetadata: {generateName: train-}\nspec: {entrypoint: m, arguments: {parameters: [{name: a, value: 1}, {name: b, value: 2}]}}\n"
	if err := os.WriteFile(file, []byte(manifest), 0o600); err != nil {
		t.Fatal(err)
	}
	wrong := filepath.Join(t.TempDir(), "template.yaml")
	if err := os.WriteFile(wrong, []byte("kind: WorkflowTemplate\nspec: {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	sent := func(entrypoint, b string) string {
		return `POST ` + all + ` {"workflow":{"kind":"Workflow","metadata":{"generateName":"train-"},"spec":{"arguments":{"parameters":[{"name":"a","value":1},` + b + `]},"entrypoint":"` + entrypoint + `"}}}`
	}
	cases := map[string]struct {
		args    string
		in      string
		code    int
		asked   []string
		kubectl string
		out     []string // in either stream
	}{
		"List":       {args: "list", asked: []string{"GET " + all}, out: []string{"train-1", "Failed", "1/2", "child failed", "90.0 s"}},
		"Show":       {args: "show train-1", asked: []string{"GET " + all + "/train-1"}, out: []string{"epochs=20", "accuracy=0.97", "exit code 3", "! spec.x: unknown field, ignored"}},
		"ShowNobody": {args: "show missing", code: ExitNotFound, asked: []string{"GET " + all + "/missing"}, out: []string{`"missing" not found`}},
		"ShowWhich":  {args: "show", code: ExitUsage, out: []string{"the call is: kiwerk pipeline show NAME"}},
		"OtherProject": {
			args: "stop x -n team-a", asked: []string{"PUT /api/v1/workflows/team-a/x/stop {}"}, out: []string{"Next: kiwerk pipeline show train-1 -n team-a"},
		},
		"Retry":      {args: "retry train-1", asked: []string{"PUT " + all + "/train-1/retry {}"}},
		"SubmitFile": {args: "submit " + file, asked: []string{sent("m", `{"name":"b","value":2}`)}, out: []string{"Next: kiwerk pipeline logs train-1 -f"}},
		"SubmitWithParameter": {
			args: "submit " + file + " -p b=x=y --entrypoint other", asked: []string{sent("other", `{"name":"b","value":"x=y"}`)},
		},
		"SubmitStdin": {args: "submit -", in: manifest, asked: []string{sent("m", `{"name":"b","value":2}`)}},
		"SubmitTemplate": {
			args:  "submit --from train -p epochs=20",
			asked: []string{`POST ` + all + `/submit {"resourceKind":"WorkflowTemplate","resourceName":"train","submitOptions":{"entryPoint":"","parameters":["epochs=20"]}}`},
		},
		"SubmitAndWait": {
			args: "submit --from train --wait", code: ExitFailed,
			asked: []string{`POST ` + all + `/submit {"resourceKind":"WorkflowTemplate","resourceName":"train","submitOptions":{"entryPoint":"","parameters":null}}`, "GET " + all + "/train-1"},
			out:   []string{"Run train-1 ended as Failed", "kiwerk pipeline retry train-1"},
		},
		"SubmitNothing":   {args: "submit", code: ExitUsage, out: []string{"submit FILE | --from TEMPLATE"}},
		"SubmitBoth":      {args: "submit f --from t", code: ExitUsage},
		"SubmitNoFile":    {args: "submit /nowhere/x.yaml", code: ExitNotFound, out: []string{"there is no file /nowhere/x.yaml"}},
		"SubmitTemplateF": {args: "submit " + wrong, code: ExitUsage, out: []string{"holds no Workflow", "kiwerk kubectl apply -f"}},
		"SubmitNoYAML":    {args: "submit -", in: "a: [", code: ExitUsage, out: []string{"no valid YAML"}},
		"BadParameter":    {args: "submit " + file + " -p b", code: ExitUsage, out: []string{"NAME=VALUE"}},
		"Logs": {
			args: "logs train-1 -f", asked: []string{"GET " + all + "/train-1"},
			kubectl: "logs -n default -c main -f --prefix --tail=-1 --max-log-requests=100 -l workflows.argoproj.io/workflow=train-1",
		},
		"LogsOfStep":    {args: "logs train-1 b", asked: []string{"GET " + all + "/train-1"}, kubectl: "logs -n default -c main train-1-step-22"},
		"LogsOfNobody":  {args: "logs train-1 c", code: ExitNotFound, asked: []string{"GET " + all + "/train-1"}, out: []string{`no step "c"`}},
		"LogsOfNothing": {args: "logs", code: ExitUsage, out: []string{"the call is: kiwerk pipeline logs NAME [STEP]"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			r, asked, kubectl := runPipeline(t, c.in, strings.Fields(c.args)...)
			if r.code != c.code {
				t.Errorf("code %d, want %d\n%s", r.code, c.code, r.err)
			}
			if diff := cmp.Diff(c.asked, asked); diff != "" {
				t.Error(diff)
			}
			if got := strings.Join(kubectl, " "); got != c.kubectl {
				t.Errorf("kubectl %s", got)
			}
			for _, want := range c.out {
				if !strings.Contains(r.out+r.err, want) {
					t.Errorf("%q is missing in\n%s%s", want, r.out, r.err)
				}
			}
		})
	}
}

func TestPipeline_showsFailedStepsFirst(t *testing.T) {
	r, _, _ := runPipeline(t, "", "show", "train-1", "-o", "json")
	var d PipelineDetails
	if err := json.Unmarshal([]byte(r.out), &d); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprintln(len(d.Steps), d.Steps[0].Name, d.Steps[1].Outputs, d.Template, d.Parameters); got != "2 b(0) map[accuracy:0.97] train map[epochs:20]\n" {
		t.Errorf("got %s", got)
	}
}
