package pod

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"sigs.k8s.io/yaml"

	argo "github.com/kiwerk/kiwerk/api/argo/v1alpha1"
	"github.com/kiwerk/kiwerk/internal/kube"
	"github.com/kiwerk/kiwerk/internal/pipeline/step"
)

// Options of a pod. Everything is resolved: no tags are left.
type Options struct {
	Workflow *argo.Workflow
	// Spec is what the workflow executes.
	Spec     *argo.WorkflowSpec
	Template *argo.Template
	// Name of the pod; NodeID and NodeName of what it runs for.
	Name, NodeID, NodeName string
	// OnExit marks pods of exit handlers.
	OnExit bool
	// Result asks for the standard output.
	Result bool
	// Deadline in seconds from the start of the pod.
	Deadline *int64
	Platform kube.Platform
}

// Make builds the pod.
func Make(o Options) (*corev1.Pod, error) {
	main, script, err := mainContainer(o.Template)
	if err != nil {
		return nil, err
	}
	p := &corev1.Pod{ObjectMeta: metadata(o), Spec: podSpec(o)}
	p.Spec.Containers = []corev1.Container{main}
	p.Spec.InitContainers = append(additional(o.Template.InitContainers, main, false), additional(o.Template.Sidecars, main, true)...)
	p.Spec.Volumes = volumes(o, p.Spec)
	for _, patch := range []string{o.Spec.PodSpecPatch, o.Template.PodSpecPatch} {
		if err := patchSpec(&p.Spec, patch); err != nil {
			return nil, err
		}
	}
	if err := wrap(o, p, script); err != nil {
		return nil, err
	}
	o.Platform.Inject(&p.Spec)
	return p, nil
}

// mainContainer is the container of the template, and its script if it has one.
func mainContainer(t *argo.Template) (corev1.Container, *string, error) {
	var c corev1.Container
	var script *string
	switch {
	case t.Container != nil:
		c = *t.Container.DeepCopy()
	case t.Script != nil:
		c = *t.Script.Container.DeepCopy()
		source := t.Script.Source
		script = &source
		if len(c.Command) == 0 {
			return c, nil, errors.New("script.command is required: the program that runs the source")
		}
	default:
		return c, nil, fmt.Errorf("template %q runs no container", t.Name)
	}
	c.Name = argo.MainContainer
	return c, script, nil
}

func metadata(o Options) metav1.ObjectMeta {
	m := metav1.ObjectMeta{
		Name: o.Name, Namespace: o.Workflow.Namespace,
		// Upstream also keeps a label that tells whether the pod has ended; that would be one more write for each step.
		Labels: map[string]string{argo.LabelWorkflow: o.Workflow.Name},
		Annotations: map[string]string{
			argo.AnnotationNodeID: o.NodeID, argo.AnnotationNodeName: o.NodeName, argo.AnnotationMainContainer: argo.MainContainer,
		},
		OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(o.Workflow, argo.GroupVersion.WithKind("Workflow"))},
	}
	if o.OnExit {
		m.Labels[argo.LabelOnExit] = "true"
	}
	for _, extra := range []*argo.Metadata{o.Spec.PodMetadata, &o.Template.Metadata} {
		if extra != nil {
			maps.Copy(m.Labels, extra.Labels)
			maps.Copy(m.Annotations, extra.Annotations)
		}
	}
	m.Labels[argo.LabelWorkflow] = o.Workflow.Name
	return m
}

// podSpec takes over what workflow and template say about the pod; the template wins.
func podSpec(o Options) corev1.PodSpec {
	s, t := o.Spec, o.Template
	p := corev1.PodSpec{
		RestartPolicy:                corev1.RestartPolicyNever,
		ActiveDeadlineSeconds:        o.Deadline,
		ServiceAccountName:           first(t.ServiceAccountName, s.ServiceAccountName),
		AutomountServiceAccountToken: either(t.AutomountServiceAccountToken, s.AutomountServiceAccountToken),
		NodeSelector:                 maps.Clone(s.NodeSelector),
		Affinity:                     either(t.Affinity, s.Affinity),
		Tolerations:                  s.Tolerations,
		SchedulerName:                first(t.SchedulerName, s.SchedulerName),
		PriorityClassName:            first(t.PriorityClassName, s.PodPriorityClassName),
		ImagePullSecrets:             s.ImagePullSecrets,
		HostAliases:                  slices.Concat(s.HostAliases, t.HostAliases),
		DNSConfig:                    s.DNSConfig,
		SecurityContext:              either(t.SecurityContext, s.SecurityContext),
	}
	if len(t.Tolerations) > 0 {
		p.Tolerations = t.Tolerations
	}
	if len(t.NodeSelector) > 0 {
		p.NodeSelector = t.NodeSelector
	}
	if s.HostNetwork != nil {
		p.HostNetwork = *s.HostNetwork
	}
	if s.DNSPolicy != nil {
		p.DNSPolicy = *s.DNSPolicy
	}
	return p
}

func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

func either[T any](a, b *T) *T {
	if a != nil {
		return a
	}
	return b
}

// additional are the containers that a template adds to main.
func additional(in []argo.UserContainer, main corev1.Container, sidecar bool) []corev1.Container {
	var out []corev1.Container
	for _, u := range in {
		c := *u.Container.DeepCopy()
		if u.MirrorVolumeMounts != nil && *u.MirrorVolumeMounts {
			c.VolumeMounts = append(c.VolumeMounts, main.VolumeMounts...)
		}
		if sidecar {
			always := corev1.ContainerRestartPolicyAlways
			c.RestartPolicy = &always
		}
		out = append(out, c)
	}
	return out
}

// volumes are those that a container of the pod mounts, so that a secret
// meant for one step does not reach the others.
func volumes(o Options, spec corev1.PodSpec) []corev1.Volume {
	wanted := map[string]bool{}
	for _, c := range slices.Concat(spec.InitContainers, spec.Containers) {
		for _, m := range c.VolumeMounts {
			wanted[m.Name] = true
		}
		for _, d := range c.VolumeDevices {
			wanted[d.Name] = true
		}
	}
	all := slices.Concat(o.Template.Volumes, o.Spec.Volumes)
	for _, t := range o.Spec.VolumeClaimTemplates {
		all = append(all, corev1.Volume{Name: t.Name, VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: o.Workflow.Name + "-" + t.Name},
		}})
	}
	var out []corev1.Volume
	for _, v := range all {
		if wanted[v.Name] {
			wanted[v.Name] = false // the template's one hides the workflow's
			out = append(out, v)
		}
	}
	return out
}

func patchSpec(spec *corev1.PodSpec, patch string) error {
	if strings.TrimSpace(patch) == "" {
		return nil
	}
	patchJSON, err := yaml.YAMLToJSON([]byte(patch))
	if err != nil {
		return fmt.Errorf("podSpecPatch is neither YAML nor JSON: %w", err)
	}
	before, err := json.Marshal(spec)
	if err != nil {
		return err
	}
	after, err := strategicpatch.StrategicMergePatch(before, patchJSON, corev1.PodSpec{})
	if err != nil {
		return fmt.Errorf("podSpecPatch: %w", err)
	}
	patched := corev1.PodSpec{}
	if err := json.Unmarshal(after, &patched); err != nil {
		return fmt.Errorf("podSpecPatch: %w", err)
	}
	*spec = patched
	return nil
}

// wrap puts the step agent before the command of main.
func wrap(o Options, p *corev1.Pod, script *string) error {
	i := slices.IndexFunc(p.Spec.Containers, func(c corev1.Container) bool { return c.Name == argo.MainContainer })
	if i < 0 {
		return errors.New("podSpecPatch removes the main container")
	}
	main := &p.Spec.Containers[i]
	spec := stepSpec(o, script, main)
	// Kubernetes keeps 12 KiB of messages for all containers of a pod together.
	spec.Limit = min(step.MaxMessage, 3*step.MaxMessage/(len(p.Spec.Containers)+len(p.Spec.InitContainers)))
	needed := script != nil || len(spec.Inputs)+len(spec.Parameters)+len(spec.Artifacts) > 0
	switch {
	case len(main.Command) == 0 && needed:
		return errors.New("container.command is required: files go in or out, so the image's own entrypoint cannot be used")
	case o.Platform.AgentPath == "" && needed:
		return errors.New("this installation has no step agent, so no files can go in or out of steps")
	case len(main.Command) == 0 || o.Platform.AgentPath == "":
		return nil
	}
	vars, err := spec.Encode()
	if err != nil {
		return err
	}
	for _, v := range vars {
		// Kubernetes expands $(NAME) in values; a doubled dollar is one.
		main.Env = append(main.Env, corev1.EnvVar{Name: v.Name, Value: strings.ReplaceAll(v.Value, "$", "$$")})
	}
	main.Command = append([]string{o.Platform.AgentPath, "step", "--"}, main.Command...)
	return nil
}

// Wrapped tells whether the step agent runs the command of a pod.
func Wrapped(p *corev1.Pod) bool {
	for _, c := range p.Spec.Containers {
		if c.Name == argo.MainContainer {
			return slices.ContainsFunc(c.Env, func(e corev1.EnvVar) bool { return e.Name == step.Env })
		}
	}
	return false
}

// Prefix is where the artifacts of a pod lie.
func Prefix(wf *argo.Workflow, name string) string {
	id := string(wf.UID)
	if id == "" {
		id = wf.Name
	}
	return path.Join("workflows", id, name)
}

func stepSpec(o Options, script *string, main *corev1.Container) step.Spec {
	prefix := Prefix(o.Workflow, o.Name)
	s := step.Spec{
		Namespace: o.Workflow.Namespace, Script: script, Result: o.Result,
		Message: first(main.TerminationMessagePath, step.DefaultMessage), ReportKey: prefix + "/outputs.json",
	}
	for _, a := range o.Template.Inputs.Artifacts {
		if in, ok := stepInput(a); ok {
			s.Inputs = append(s.Inputs, in)
		}
	}
	for _, out := range o.Template.Outputs.Parameters {
		if out.ValueFrom == nil || out.ValueFrom.Path == "" {
			continue
		}
		p := step.OutputParameter{Name: out.Name, Path: out.ValueFrom.Path, GlobalName: out.GlobalName}
		if d := either(out.ValueFrom.Default, out.Default); d != nil {
			text := d.String()
			p.Default = &text
		}
		s.Parameters = append(s.Parameters, p)
	}
	for _, a := range o.Template.Outputs.Artifacts {
		if a.Path != "" {
			s.Artifacts = append(s.Artifacts, stepOutput(a, prefix))
		}
	}
	return s
}

func stepInput(a argo.Artifact) (step.Input, bool) {
	in := step.Input{Name: a.Name, Path: a.Path, Mode: a.Mode, Optional: a.Optional, Plain: a.Archive != nil && a.Archive.None != nil}
	switch {
	case a.Path == "":
		return in, false
	case a.Raw != nil:
		in.Raw = &a.Raw.Data
	case a.S3 != nil:
		in.Key = strings.TrimSuffix(a.S3.Key, "/")
	default:
		return in, false
	}
	return in, true
}

func stepOutput(a argo.Artifact, prefix string) step.OutputArtifact {
	out := step.OutputArtifact{Name: a.Name, Path: a.Path, Optional: a.Optional, GlobalName: a.GlobalName, Key: prefix + "/" + a.Name + ".tgz"}
	if a.Archive != nil && a.Archive.None != nil {
		out.Plain, out.Key = true, prefix+"/"+a.Name
	}
	if a.Archive != nil && a.Archive.Tar != nil {
		out.Level = a.Archive.Tar.CompressionLevel
	}
	if a.S3 != nil && a.S3.Key != "" {
		out.Key = strings.TrimSuffix(a.S3.Key, "/")
	}
	return out
}
