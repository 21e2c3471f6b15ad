package lint

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	argo "github.com/kiwerk/kiwerk/api/argo/v1alpha1"
)

// check lints the YAML of a spec.
func check(t *testing.T, spec string) (errs, warnings string) {
	t.Helper()
	raw := map[string]any{}
	if err := yaml.Unmarshal([]byte(spec), &raw); err != nil {
		t.Fatal(err)
	}
	s := &argo.WorkflowSpec{}
	if err := yaml.Unmarshal([]byte(spec), s); err != nil {
		t.Fatal(err)
	}
	return Split(append(Fields(raw), Spec(s, Options{References: true})...))
}

const nop = "- {name: nop, container: {image: a, command: [x]}}\n"

func TestSpec(t *testing.T) {
	for name, c := range map[string]struct{ spec, err, warning string }{
		"Good":             {spec: "entrypoint: nop\ntemplates:\n" + nop},
		"NoEntrypoint":     {spec: "templates:\n" + nop, err: "spec.entrypoint: is required"},
		"EntrypointNobody": {spec: "entrypoint: x\ntemplates:\n" + nop, err: "spec.entrypoint: template name 'x' undefined"},
		"TemplateTwice":    {spec: "entrypoint: nop\ntemplates:\n" + nop + nop, err: `spec.templates[1].name: template name "nop" is used twice`},
		"TemplateEmpty":    {spec: "entrypoint: a\ntemplates: [{name: a}]", err: "spec.templates[0]: a template has exactly one of container"},
		"UnknownTemplate": {
			spec: "entrypoint: a\ntemplates:\n- name: a\n  steps: [[{name: s, template: missing}]]\n",
			err:  "spec.templates[0].steps[0][0].template: template name 'missing' undefined",
		},
		"UnknownReference": {
			spec: "entrypoint: a\ntemplates:\n- name: a\n  dag: {tasks: [{name: s, templateRef: {name: other, template: t}}]}\n",
			err:  "spec.templates[0].dag.tasks[0].templateRef: template other.t not found",
		},
		"Cycle": {
			spec: "entrypoint: a\ntemplates:\n- name: a\n  dag: {tasks: [{name: A, template: nop, depends: C}, {name: B, template: nop, depends: A}, {name: C, template: nop, depends: B.Failed}]}\n" + nop,
			err:  "spec.templates[0].dag.tasks: dependency cycle detected: A->C->B->A",
		},
		"CycleOfOne": {
			spec: "entrypoint: a\ntemplates:\n- name: a\n  dag: {tasks: [{name: A, template: nop, dependencies: [A]}]}\n" + nop,
			err:  "dependency cycle detected: A->A",
		},
		"DependencyNobody": {
			spec: "entrypoint: a\ntemplates:\n- name: a\n  dag: {tasks: [{name: A, template: nop, depends: B}]}\n" + nop,
			err:  "spec.templates[0].dag.tasks[0]: dependency 'B' not defined",
		},
		"StepTwice": {
			spec: "entrypoint: a\ntemplates:\n- name: a\n  steps: [[{name: s, template: nop}], [{name: s, template: nop}]]\n" + nop,
			err:  `spec.templates[0].steps[1][0].name: "s" is used twice`,
		},
		"MissingArgument": {
			spec: "entrypoint: a\ntemplates:\n- name: a\n  steps: [[{name: s, template: b}]]\n- {name: b, inputs: {parameters: [{name: p}]}, container: {image: a, command: [x]}}\n",
			err:  "spec.templates[0].steps[0][0].arguments: inputs.parameters.p was not supplied",
		},
		"UnresolvedInput": {
			spec: "entrypoint: nop\ntemplates:\n- {name: nop, container: {image: a, command: [echo, '{{inputs.parameters.x}}']}}",
			err:  "spec.templates[0].container.command[1]: failed to resolve {{inputs.parameters.x}}",
		},
		"UnresolvedGlobal": {
			spec: "entrypoint: nop\ntemplates:\n- {name: nop, container: {image: a, command: [echo, '{{workflow.parameters.x}}']}}",
			err:  "failed to resolve {{workflow.parameters.x}}",
		},
		"UnresolvedLaterStep": {
			spec: "entrypoint: a\ntemplates:\n- name: a\n  steps: [[{name: s, template: nop, when: '{{steps.t.outputs.result}} == 1'}], [{name: t, template: nop}]]\n" + nop,
			err:  "spec.templates[0].steps[0][0].when: failed to resolve {{steps.t.outputs.result}}",
		},
		"UnresolvedTaskWithoutDependency": {
			spec: "entrypoint: a\ntemplates:\n- name: a\n  dag: {tasks: [{name: A, template: nop}, {name: B, template: nop, when: '{{tasks.A.outputs.result}} == 1'}]}\n" + nop,
			err:  "spec.templates[0].dag.tasks[1].when: failed to resolve {{tasks.A.outputs.result}}",
		},
		"UnresolvedItem": {
			spec: "entrypoint: a\ntemplates:\n- name: a\n  steps: [[{name: s, template: nop, when: '{{item}} == 1'}]]\n" + nop,
			err:  "failed to resolve {{item}}",
		},
		"UnresolvedOutput": {
			spec: "entrypoint: a\ntemplates:\n- name: a\n  steps: [[{name: s, template: nop}], [{name: t, template: nop, when: '{{steps.s.outputs.parameters.p}} == 1'}]]\n" + nop,
			err:  "failed to resolve {{steps.s.outputs.parameters.p}}",
		},
		"ForeignTag": {spec: "entrypoint: nop\ntemplates:\n- {name: nop, container: {image: a, command: [echo, '{{ .Values.x }}']}}"},
		"BadExpression": {
			spec: "entrypoint: nop\ntemplates:\n- {name: nop, container: {image: a, command: [echo, '{{=1 +}}']}}",
			err:  "invalid expression {{=1 +}}",
		},
		"BadDepends": {
			spec: "entrypoint: a\ntemplates:\n- name: a\n  dag: {tasks: [{name: A, template: nop}, {name: B, template: nop, depends: 'A.Done'}]}\n" + nop,
			err:  "spec.templates[0].dag.tasks[1].depends: depends \"A.Done\": task result 'Done' for task 'A' is invalid",
		},
		"ScriptWithoutCommand": {
			spec: "entrypoint: a\ntemplates:\n- {name: a, script: {image: a, source: x}}", err: "spec.templates[0].script.command: is required",
		},
		"RelativePath": {
			spec: "entrypoint: a\ntemplates:\n- {name: a, inputs: {artifacts: [{name: f, path: x, raw: {data: y}}]}, container: {image: a, command: [x]}}",
			err:  `spec.templates[0].inputs.artifacts[0].path: "x" must be an absolute path`,
		},
		"UnsupportedTemplate": {
			spec: "entrypoint: a\ntemplates:\n- {name: a, containerSet: {containers: []}, container: {image: a, command: [x]}}",
			err:  "spec.templates[0].containerSet: container sets are not supported yet",
		},
		"UnsupportedLock": {
			spec: "entrypoint: nop\nsynchronization: {mutexes: [{name: x}]}\ntemplates:\n" + nop,
			err:  "spec.synchronization: locks between workflows are not supported yet",
		},
		"UnsupportedStore": {
			spec: "entrypoint: a\ntemplates:\n- {name: a, inputs: {artifacts: [{name: f, path: /x, s3: {bucket: b, key: k}}]}, container: {image: a, command: [x]}}",
			err:  "spec.templates[0].inputs.artifacts[0].s3.bucket: artifacts lie in the platform's own store",
		},
		"UnsupportedHook": {
			spec: "entrypoint: nop\nhooks: {running: {template: nop, expression: 'true'}}\ntemplates:\n" + nop,
			err:  "spec.hooks.running: only the exit hook is supported yet",
		},
		"Typo":     {spec: "entrypoint: nop\nparalelism: 1\ntemplates:\n" + nop, warning: "spec.paralelism: unknown field, ignored"},
		"Harmless": {spec: "entrypoint: nop\nmetrics: {prometheus: [{name: x}]}\ntemplates:\n" + nop, warning: "spec.metrics: has no effect here"},
		"TypoInContainer": {
			spec:    "entrypoint: nop\ntemplates:\n- {name: nop, container: {image: a, command: [x], envs: [{name: x}]}}\n",
			warning: "spec.templates[0].container.envs: unknown field, ignored",
		},
	} {
		t.Run(name, func(t *testing.T) {
			errs, warnings := check(t, c.spec)
			if c.err == "" && errs != "" || !strings.Contains(errs, c.err) {
				t.Errorf("errors %q, want %q", errs, c.err)
			}
			if c.warning == "" && warnings != "" || !strings.Contains(warnings, c.warning) {
				t.Errorf("warnings %q, want %q", warnings, c.warning)
			}
		})
	}
}

// Whoever writes the name of a template where a step's belongs is told the step.
func TestSpec_namesTheStepThatIsMeant(t *testing.T) {
	steps := func(more string) *argo.WorkflowSpec {
		s := &argo.WorkflowSpec{}
		text := "entrypoint: a\ntemplates:\n- name: a\n  steps: [[{name: s, template: nop}" + more + "], [{name: u, template: nop, when: '{{steps.nop.outputs.result}} == 1'}]]\n" + nop
		if err := yaml.Unmarshal([]byte(text), s); err != nil {
			t.Fatal(err)
		}
		return s
	}
	got := Spec(steps(""), Options{})
	if len(got) != 1 || got[0].Unresolved != "steps.nop.outputs.result" || got[0].Instead != "steps.s.outputs.result" {
		t.Errorf("got %+v", got)
	}
	got = Spec(steps(", {name: r, template: nop}"), Options{})
	if len(got) != 1 || got[0].Instead != "" {
		t.Errorf("two steps have the template, yet one is chosen: %+v", got)
	}
}

func TestExamples_areClean(t *testing.T) {
	files, err := filepath.Glob("../../../examples/workflows/*.yaml")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d examples, %v", len(files), err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		wf := struct {
			Kind string
			Spec argo.WorkflowSpec
		}{}
		raw := map[string]any{}
		if err := yaml.Unmarshal(b, &wf); err != nil {
			t.Fatal(err)
		}
		if err := yaml.Unmarshal(b, &raw); err != nil {
			t.Fatal(err)
		}
		spec, _ := raw["spec"].(map[string]any)
		problems := append(Fields(spec), Spec(&wf.Spec, Options{Template: wf.Kind != "Workflow" || wf.Spec.WorkflowTemplateRef != nil})...)
		if errs, warnings := Split(problems); errs+warnings != "" {
			t.Errorf("%s: %s %s", f, errs, warnings)
		}
	}
}

func FuzzSpec(f *testing.F) {
	f.Add("entrypoint: nop\ntemplates:\n" + nop)
	f.Add("templates: [{name: a, dag: {tasks: [{name: x, depends: 'y && '}]}}]")
	f.Add("templates: [{steps: [[{withItems: [1], when: '{{item}}'}]]}]")
	f.Fuzz(func(_ *testing.T, text string) {
		raw := map[string]any{}
		s := &argo.WorkflowSpec{}
		if len(text) > 4096 || yaml.Unmarshal([]byte(text), &raw) != nil || yaml.Unmarshal([]byte(text), s) != nil {
			return
		}
		Split(append(Fields(raw), Spec(s, Options{})...))
	})
}
