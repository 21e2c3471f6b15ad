package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kiwerk/kiwerk/internal/pipeline/client"
)

const run = `{"metadata":{"name":"train-1","creationTimestamp":"2026-11-24T08:00:00Z"},"status":{"phase":%q,"nodes":{
	"d":{"name":"train-1","displayName":"train-1","type":"DAG","phase":"Running"},
	"1":{"id":"train-1-1","name":"train-1.b(0)","displayName":"b(0)","type":"Pod","phase":"Failed","templateName":"step","startedAt":"2026-11-24T08:00:10Z"},
	"2":{"id":"train-1-2","name":"train-1.b(1)","displayName":"b(1)","type":"Pod","phase":"Running","templateName":"step","startedAt":"2026-11-24T08:00:20Z"},
	"3":{"id":"train-1-3","name":"train-1.bb","displayName":"bb","type":"Pod","phase":"Running","templateName":"step","startedAt":"2026-11-24T08:00:30Z"},
	"4":{"id":"train-1-4","name":"train-1.skipped","displayName":"skipped","type":"Skipped","phase":"Skipped"}}}}`

// answering gives one answer after the other, the last one again and again, and notes what was asked.
func answering(asked *[]string, answers ...string) client.Client {
	return client.Client{Project: "team a", Call: func(_ context.Context, method, path string, body, answer any) error {
		b, err := json.Marshal(body)
		if err != nil {
			return err
		}
		*asked = append(*asked, strings.TrimSuffix(method+" "+path+" "+string(b), " null"))
		text := answers[0]
		if len(answers) > 1 {
			answers = answers[1:]
		}
		return json.Unmarshal([]byte(text), answer)
	}}
}

func TestClient_ListNewestFirst(t *testing.T) {
	var asked []string
	runs, err := answering(&asked, `{"items":[
		{"metadata":{"name":"b","creationTimestamp":"2026-11-24T08:00:00Z"}},
		{"metadata":{"name":"a","creationTimestamp":"2026-11-24T08:00:00Z"}},
		{"metadata":{"name":"new","creationTimestamp":"2026-11-25T08:00:00Z"}}]}`).List(t.Context())
	if err != nil || len(runs) != 3 || runs[0].Name != "new" || runs[1].Name != "a" || runs[1].Phase != "Pending" {
		t.Errorf("got %+v, %v", runs, err)
	}
	if diff := cmp.Diff([]string{"GET /api/v1/workflows/team%20a"}, asked); diff != "" {
		t.Error(diff)
	}
}

func TestDetails_PodOf(t *testing.T) {
	var asked []string
	d, err := answering(&asked, fmt.Sprintf(run, "Running")).Get(t.Context(), "train-1")
	if err != nil {
		t.Fatal(err)
	}
	for step, want := range map[string]string{"b": "train-1-step-2", "b(0)": "train-1-step-1", "bb": "train-1-step-3", "skipped": "", "nobody": ""} {
		if got := d.PodOf(step); got != want {
			t.Errorf("%s: pod %q, want %q", step, got, want)
		}
	}
	if d.Steps[0].Name != "b(0)" {
		t.Errorf("what failed does not come first: %+v", d.Steps)
	}
}

func TestClient_Submit(t *testing.T) {
	const post = `POST /api/v1/workflows/team%20a {"workflow":{"kind":"Workflow","spec":`
	cases := map[string]struct {
		manifest string
		options  client.Options
		asked    string
		err      any
	}{
		"AsItIs":       {"kind: Workflow\nspec: {entrypoint: m}", client.Options{}, post + `{"entrypoint":"m"}}}`, nil},
		"Entrypoint":   {"kind: Workflow\nspec: {entrypoint: m}", client.Options{Entrypoint: "o"}, post + `{"entrypoint":"o"}}}`, nil},
		"NewParameter": {"kind: Workflow\nspec: {}", client.Options{Parameters: []string{"a=x=y"}}, post + `{"arguments":{"parameters":[{"name":"a","value":"x=y"}]}}}}`, nil},
		"SameParameter": {
			"kind: Workflow\nspec: {arguments: {parameters: [{name: a, value: 1}, {name: b, value: 2}]}}",
			client.Options{Parameters: []string{"a=3"}},
			post + `{"arguments":{"parameters":[{"name":"b","value":2},{"name":"a","value":"3"}]}}}}`, nil,
		},
		"NoYAML":       {"a: [", client.Options{}, "", new(*client.SyntaxError)},
		"Template":     {"kind: WorkflowTemplate\nspec: {}", client.Options{}, "", client.ErrNoWorkflow},
		"NoSpec":       {"kind: Workflow", client.Options{}, "", client.ErrNoWorkflow},
		"BadParameter": {"kind: Workflow\nspec: {}", client.Options{Parameters: []string{"=1"}}, "", new(*client.ParameterError)},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var asked []string
			_, err := answering(&asked, fmt.Sprintf(run, "Pending")).Submit(t.Context(), []byte(c.manifest), c.options)
			if want, ok := c.err.(error); ok && !errors.Is(err, want) || !ok && c.err != nil && !errors.As(err, c.err) || c.err == nil && err != nil {
				t.Errorf("got %v", err)
			}
			if got := strings.Join(asked, "\n"); got != c.asked {
				t.Errorf("asked %s\nwant %s", got, c.asked)
			}
		})
	}
}

func TestClient_Wait(t *testing.T) {
	tick := make(chan time.Time, 1)
	tick <- time.Time{}
	var asked []string
	d, err := answering(&asked, fmt.Sprintf(run, "Running"), fmt.Sprintf(run, "Succeeded")).Wait(t.Context(), "train-1", tick)
	if err != nil || d.Phase != "Succeeded" || len(asked) != 2 {
		t.Errorf("got %+v, %v after %d questions", d, err, len(asked))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	d, err = answering(&asked, fmt.Sprintf(run, "Running")).Wait(ctx, "train-1", nil)
	if !errors.Is(err, context.Canceled) || d == nil || d.Phase != "Running" {
		t.Errorf("got %+v, %v", d, err)
	}
}
