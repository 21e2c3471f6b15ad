package controller

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	argo "github.com/kiwerk/kiwerk/api/argo/v1alpha1"
	"github.com/kiwerk/kiwerk/internal/kwtest"
)

// call is one request as hera sends it.
func (c *cluster) call(t *testing.T, method, path string, body any, want int) map[string]any {
	t.Helper()
	raw, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, c.url+path, bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+testToken)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != want {
		t.Fatalf("%s %s: %s %s", method, path, resp.Status, text)
	}
	out := map[string]any{}
	if err := json.Unmarshal(text, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func object(t *testing.T, text string) map[string]any {
	t.Helper()
	m := map[string]any{}
	if err := yaml.Unmarshal([]byte(text), &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func nameOf(m map[string]any) string {
	meta, _ := m["metadata"].(map[string]any)
	name, _ := meta["name"].(string)
	return name
}

func TestArgo_clientsStory(t *testing.T) {
	c := newCluster(t)
	c.start()
	c.kubelet()
	flag := filepath.Join(c.dir, "mended")
	marks := filepath.Join(c.dir, "marks")
	manifest := object(t, spec(fmt.Sprintf(`
entrypoint: m
unknownField: {kept: true}
templates:
- name: m
  dag: {tasks: [{name: a, template: a}, {name: b, template: b, depends: a}, {name: c, template: a, depends: b}]}
- name: a
  container: {image: a, command: [sh, -c, 'echo {{node.name}} >> %s']}
- name: b
  retryStrategy: {limit: 1}
  container: {image: a, command: [sh, -c, 'test -e %s']}
`, marks, flag)))
	base := "/api/v1/workflows/" + c.ns

	c.call(t, "POST", base+"/lint", map[string]any{"workflow": manifest}, 200)
	made := c.call(t, "POST", base, map[string]any{"workflow": manifest}, 200)
	if made["spec"].(map[string]any)["unknownField"] == nil {
		t.Errorf("an unknown field was lost: %v", made["spec"])
	}
	wf := &argo.Workflow{}
	wf.Name, wf.Namespace = nameOf(made), c.ns
	c.finish(t, wf, argo.WorkflowFailed)
	if err := os.WriteFile(flag, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	c.call(t, "PUT", base+"/"+wf.Name+"/retry", map[string]any{"name": wf.Name}, 200)
	kwtest.WaitFor(t, c.client, wf, func(wf *argo.Workflow) bool { return wf.Status.Phase == argo.WorkflowSucceeded })
	got, err := os.ReadFile(marks)
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("%[1]s.a\n%[1]s.c\n", wf.Name); string(got) != want {
		t.Errorf("steps ran as\n%swant\n%s", got, want)
	}

	again := c.call(t, "PUT", base+"/"+wf.Name+"/resubmit", map[string]any{}, 200)
	wf2 := &argo.Workflow{}
	wf2.Name, wf2.Namespace = nameOf(again), c.ns
	c.finish(t, wf2, argo.WorkflowSucceeded)
	if wf2.Labels[argo.LabelResubmittedFrom] != wf.Name {
		t.Errorf("labels %v", wf2.Labels)
	}

	refused := c.call(t, "PUT", base+"/"+wf.Name+"/retry", map[string]any{}, 412)
	if !strings.Contains(fmt.Sprint(refused["message"]), "must be Failed or Error to be retried") {
		t.Errorf("%v", refused)
	}
	list := c.call(t, "GET", base+"?listOptions.labelSelector=workflows.argoproj.io/phase%3DSucceeded", nil, 200)
	if n := len(list["items"].([]any)); n != 2 {
		t.Errorf("%d workflows", n)
	}
	if m := c.call(t, "GET", base+"/nobody", nil, 404); fmt.Sprint(m["code"]) != "5" {
		t.Errorf("%v", m)
	}
	c.call(t, "DELETE", base+"/"+wf2.Name, nil, 200)
	c.call(t, "GET", base+"/"+wf2.Name, nil, 404)
	bad := object(t, spec("entrypoint: x\ntemplates: []"))
	if m := c.call(t, "POST", base+"/lint", map[string]any{"workflow": bad}, 400); !strings.Contains(fmt.Sprint(m["message"]), "template name 'x' undefined") {
		t.Errorf("%v", m)
	}
	c.call(t, "POST", base, map[string]any{"workflow": map[string]any{"metadata": map[string]any{"namespace": "other"}, "spec": map[string]any{}}}, 400)
}

func TestArgo_templatesAndSuspend(t *testing.T) {
	c := newCluster(t)
	c.start()
	c.kubelet()
	templates, base := "/api/v1/workflow-templates/"+c.ns, "/api/v1/workflows/"+c.ns
	template := object(t, `
metadata: {name: asks}
spec:
  entrypoint: m
  arguments: {parameters: [{name: word, value: x}]}
  templates:
  - name: m
    steps: [[{name: wait, template: wait}], [{name: say, template: say}]]
  - name: wait
    suspend: {}
  - name: say
    container: {image: a, command: [echo, '{{workflow.parameters.word}}']}
`)
	c.call(t, "POST", templates, map[string]any{"template": template}, 200)
	got := c.call(t, "GET", templates+"/asks", nil, 200)
	c.call(t, "PUT", templates+"/asks", map[string]any{"template": got}, 200)
	made := c.call(t, "POST", base+"/submit", map[string]any{
		"resourceKind": "WorkflowTemplate", "resourceName": "asks", "submitOptions": map[string]any{"parameters": []string{"word=hallo"}},
	}, 200)
	wf := &argo.Workflow{}
	wf.Name, wf.Namespace = nameOf(made), c.ns
	kwtest.WaitFor(t, c.client, wf, func(wf *argo.Workflow) bool { return len(wf.Status.Nodes) == 3 })
	c.call(t, "PUT", base+"/"+wf.Name+"/resume", map[string]any{"nodeFieldSelector": "displayName=nobody"}, 412)
	c.call(t, "PUT", base+"/"+wf.Name+"/suspend", map[string]any{}, 200)
	c.call(t, "PUT", base+"/"+wf.Name+"/resume", map[string]any{}, 200)
	c.finish(t, wf, argo.WorkflowSucceeded)
	if out := c.out(wf, "[1].say"); out != "hallo" {
		t.Errorf("output %q", out)
	}
	if wf.Labels[argo.LabelWorkflowTemplate] != "asks" {
		t.Errorf("labels %v", wf.Labels)
	}
	for _, path := range []string{"/api/v1/info", "/api/v1/version", "/api/v1/userinfo"} {
		c.call(t, "GET", path, nil, 200)
	}
}
