package pod

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	argo "github.com/kiwerk/kiwerk/api/argo/v1alpha1"
	"github.com/kiwerk/kiwerk/internal/kube"
	"github.com/kiwerk/kiwerk/internal/pipeline/step"
)

const agent = "/.kiwerk/bin/kiwerk-agent"

func options(t *testing.T, spec, template string) Options {
	t.Helper()
	o := Options{
		Workflow: &argo.Workflow{}, Spec: &argo.WorkflowSpec{}, Template: &argo.Template{}, Name: "wf-t-1", NodeID: "wf-1", NodeName: "wf.a",
		Platform: kube.Platform{BaseURL: "http://127.0.0.1:7878", AgentPath: agent},
	}
	o.Workflow.Name, o.Workflow.Namespace, o.Workflow.UID = "wf", "ns", "u"
	for text, v := range map[string]any{spec: o.Spec, template: o.Template} {
		if err := yaml.UnmarshalStrict([]byte(text), v); err != nil {
			t.Fatalf("%v in %s", err, text)
		}
	}
	return o
}

func made(t *testing.T, o Options) *corev1.Pod {
	t.Helper()
	p, err := Make(o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// specOf decodes what the agent gets, as Kubernetes would hand it over.
func specOf(t *testing.T, p *corev1.Pod) step.Spec {
	t.Helper()
	var env []string
	for _, e := range p.Spec.Containers[0].Env {
		env = append(env, e.Name+"="+strings.ReplaceAll(e.Value, "$$", "$"))
	}
	s, _, err := step.DecodeSpec(env)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestMake_wrapsTheCommand(t *testing.T) {
	p := made(t, options(t, "{}", "container: {image: a, command: [echo, $(HOME)], args: [x]}"))
	main := p.Spec.Containers[0]
	if diff := cmp.Diff([]string{agent, "step", "--", "echo", "$(HOME)"}, main.Command); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"x"}, main.Args); diff != "" {
		t.Error(diff)
	}
	if main.Name != "main" || !Wrapped(p) || p.Spec.RestartPolicy != corev1.RestartPolicyNever || len(p.Spec.Containers) != 1 || len(p.Spec.InitContainers) != 0 {
		t.Errorf("%+v", p.Spec)
	}
	owner := p.OwnerReferences[0]
	if owner.Kind != "Workflow" || owner.UID != "u" || !*owner.Controller || p.Labels[argo.LabelWorkflow] != "wf" || p.Annotations[argo.AnnotationNodeName] != "wf.a" {
		t.Errorf("%+v", p.ObjectMeta)
	}
}

func TestMake_withoutCommandTheImageDecides(t *testing.T) {
	p := made(t, options(t, "{}", "container: {image: a, args: [x]}"))
	if Wrapped(p) || p.Spec.Containers[0].Command != nil {
		t.Errorf("%+v", p.Spec.Containers[0])
	}
	for _, template := range []string{
		"{container: {image: a}, outputs: {parameters: [{name: p, valueFrom: {path: /p}}]}}",
		"{container: {image: a}, inputs: {artifacts: [{name: p, path: /p, raw: {data: x}}]}}",
	} {
		if _, err := Make(options(t, "{}", template)); err == nil || !strings.Contains(err.Error(), "container.command is required") {
			t.Errorf("%s: %v", template, err)
		}
	}
	o := options(t, "{}", "{script: {image: a, command: [sh], source: x}}")
	o.Platform.AgentPath = ""
	if _, err := Make(o); err == nil || !strings.Contains(err.Error(), "has no step agent") {
		t.Errorf("%v", err)
	}
}

func TestMake_spec(t *testing.T) {
	o := options(t, "{}", `
script: {image: a, command: [sh], source: "echo $HOME $(date) $$"}
inputs:
  artifacts:
  - {name: raw, path: /raw, mode: 384, raw: {data: text}}
  - {name: key, path: /key, optional: true, archive: {none: {}}, s3: {key: a/b/}}
outputs:
  parameters: [{name: p, globalName: g, valueFrom: {path: /p, default: d}}]
  artifacts:
  - {name: tgz, path: /t}
  - {name: plain, path: /f, archive: {none: {}}}
  - {name: named, path: /n, archive: {tar: {compressionLevel: 0}}, s3: {key: x/y.tgz}}
`)
	o.Result = true
	mode, level, text, def, script := int32(0o600), int32(0), "text", "d", "echo $HOME $(date) $$"
	want := step.Spec{
		Namespace: "ns", Script: &script, Result: true, Message: "/dev/termination-log", Limit: 4096, ReportKey: "workflows/u/wf-t-1/outputs.json",
		Inputs:     []step.Input{{Name: "raw", Path: "/raw", Mode: &mode, Raw: &text}, {Name: "key", Path: "/key", Key: "a/b", Plain: true, Optional: true}},
		Parameters: []step.OutputParameter{{Name: "p", Path: "/p", Default: &def, GlobalName: "g"}},
		Artifacts: []step.OutputArtifact{
			{Name: "tgz", Path: "/t", Key: "workflows/u/wf-t-1/tgz.tgz"},
			{Name: "plain", Path: "/f", Key: "workflows/u/wf-t-1/plain", Plain: true},
			{Name: "named", Path: "/n", Key: "x/y.tgz", Level: &level},
		},
	}
	if diff := cmp.Diff(want, specOf(t, made(t, o))); diff != "" {
		t.Error(diff)
	}
}

func TestMake_passesThrough(t *testing.T) {
	p := made(t, options(t, `
serviceAccountName: of-workflow
nodeSelector: {a: b}
tolerations: [{key: x}]
podMetadata: {labels: {from: workflow}, annotations: {note: w}}
volumes: [{name: used, emptyDir: {}}, {name: secret, secret: {secretName: s}}]
volumeClaimTemplates: [{metadata: {name: claim}, spec: {}}]
podSpecPatch: '{"hostname": "patched", "containers": [{"name": "main", "resources": {"limits": {"memory": "1Gi"}}}]}'
`, `
serviceAccountName: of-template
metadata: {labels: {from: template}}
podSpecPatch: "terminationGracePeriodSeconds: 5"
container: {image: a, command: [x], volumeMounts: [{name: used, mountPath: /u}, {name: claim, mountPath: /c}]}
initContainers: [{name: before, image: b, mirrorVolumeMounts: true}]
sidecars: [{name: beside, image: c}]
`))
	s := p.Spec
	if s.ServiceAccountName != "of-template" || s.NodeSelector["a"] != "b" || len(s.Tolerations) != 1 || s.Hostname != "patched" || *s.TerminationGracePeriodSeconds != 5 {
		t.Errorf("%+v", s)
	}
	if p.Labels["from"] != "template" || p.Annotations["note"] != "w" {
		t.Errorf("%+v", p.ObjectMeta)
	}
	var volumes []string
	for _, v := range s.Volumes {
		volumes = append(volumes, v.Name)
	}
	if diff := cmp.Diff([]string{"used", "claim", "kiwerk-token"}, volumes); diff != "" {
		t.Errorf("a secret that nobody mounts must not be there: %s", diff)
	}
	if s.Containers[0].Resources.Limits.Memory().String() != "1Gi" || s.Containers[0].Command[0] != agent {
		t.Errorf("%+v", s.Containers[0])
	}
	if len(s.InitContainers) != 2 || len(s.InitContainers[0].VolumeMounts) < 2 || *s.InitContainers[1].RestartPolicy != corev1.ContainerRestartPolicyAlways {
		t.Errorf("%+v", s.InitContainers)
	}
}

func TestMake_badPatch(t *testing.T) {
	for patch, want := range map[string]string{
		`"{a"`: "podSpecPatch", `'{"containers": [{"name": "main", "$patch": "delete"}]}'`: "removes the main container",
	} {
		o := options(t, "podSpecPatch: "+patch, "container: {image: a, command: [x]}")
		if _, err := Make(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", patch, err, want)
		}
	}
}
