package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Template is a reusable part of a workflow.
type Template struct {
	Name     string   `json:"name,omitempty"`
	Inputs   Inputs   `json:"inputs,omitempty"`
	Outputs  Outputs  `json:"outputs,omitempty"`
	Metadata Metadata `json:"metadata,omitempty"`

	Container *corev1.Container `json:"container,omitempty"`
	Script    *ScriptTemplate   `json:"script,omitempty"`
	Steps     []ParallelSteps   `json:"steps,omitempty"`
	DAG       *DAGTemplate      `json:"dag,omitempty"`
	Suspend   *SuspendTemplate  `json:"suspend,omitempty"`

	RetryStrategy         *RetryStrategy      `json:"retryStrategy,omitempty"`
	ActiveDeadlineSeconds *intstr.IntOrString `json:"activeDeadlineSeconds,omitempty"`
	Timeout               string              `json:"timeout,omitempty"`
	Parallelism           *int64              `json:"parallelism,omitempty"`
	FailFast              *bool               `json:"failFast,omitempty"`

	Volumes        []corev1.Volume `json:"volumes,omitempty"`
	InitContainers []UserContainer `json:"initContainers,omitempty"`
	Sidecars       []UserContainer `json:"sidecars,omitempty"`

	ServiceAccountName           string                     `json:"serviceAccountName,omitempty"`
	AutomountServiceAccountToken *bool                      `json:"automountServiceAccountToken,omitempty"`
	PodSpecPatch                 string                     `json:"podSpecPatch,omitempty"`
	PriorityClassName            string                     `json:"priorityClassName,omitempty"`
	NodeSelector                 map[string]string          `json:"nodeSelector,omitempty"`
	Affinity                     *corev1.Affinity           `json:"affinity,omitempty"`
	Tolerations                  []corev1.Toleration        `json:"tolerations,omitempty"`
	SchedulerName                string                     `json:"schedulerName,omitempty"`
	HostAliases                  []corev1.HostAlias         `json:"hostAliases,omitempty"`
	SecurityContext              *corev1.PodSecurityContext `json:"securityContext,omitempty"`
}

// ScriptTemplate is a container whose program is given as text.
type ScriptTemplate struct {
	corev1.Container `json:",inline"`

	Source string `json:"source"`
}

// UserContainer is an additional container.
type UserContainer struct {
	corev1.Container `json:",inline"`

	MirrorVolumeMounts *bool `json:"mirrorVolumeMounts,omitempty"`
}

// SuspendTemplate waits for a duration or for somebody to resume.
type SuspendTemplate struct {
	Duration AnyString `json:"duration,omitempty"`
}

// DAGTemplate runs tasks in the order of their dependencies.
type DAGTemplate struct {
	Target   string    `json:"target,omitempty"`
	Tasks    []DAGTask `json:"tasks"`
	FailFast *bool     `json:"failFast,omitempty"`
}

// Loop is how one step or task becomes many.
type Loop struct {
	WithItems    []Item    `json:"withItems,omitempty"`
	WithParam    string    `json:"withParam,omitempty"`
	WithSequence *Sequence `json:"withSequence,omitempty"`
}

// Set tells whether there is a loop.
func (l Loop) Set() bool {
	return len(l.WithItems) > 0 || l.WithParam != "" || l.WithSequence != nil
}

// Call is what steps and tasks have in common: the template to run, with what and when.
type Call struct {
	Name        string       `json:"name,omitempty"`
	Template    string       `json:"template,omitempty"`
	Inline      *Template    `json:"inline,omitempty"`
	TemplateRef *TemplateRef `json:"templateRef,omitempty"`
	Arguments   Arguments    `json:"arguments,omitempty"`
	Loop        `json:",inline"`
	When        string         `json:"when,omitempty"`
	ContinueOn  *ContinueOn    `json:"continueOn,omitempty"`
	OnExit      string         `json:"onExit,omitempty"`
	Hooks       LifecycleHooks `json:"hooks,omitempty"`
}

// DAGTask is a node of a DAG.
type DAGTask struct {
	Call `json:",inline"`

	Dependencies []string `json:"dependencies,omitempty"`
	Depends      string   `json:"depends,omitempty"`
}

// WorkflowStep is one of the parallel steps of a group.
type WorkflowStep struct {
	Call `json:",inline"`
}

// ContinueOn lets the rest go on after a step that did not succeed.
type ContinueOn struct {
	Error  bool `json:"error,omitempty"`
	Failed bool `json:"failed,omitempty"`
}

// TemplateRef names a template of a WorkflowTemplate.
type TemplateRef struct {
	Name         string `json:"name,omitempty"`
	Template     string `json:"template,omitempty"`
	ClusterScope bool   `json:"clusterScope,omitempty"`
}

// Sequence is a loop over numbers.
type Sequence struct {
	Count  *intstr.IntOrString `json:"count,omitempty"`
	Start  *intstr.IntOrString `json:"start,omitempty"`
	End    *intstr.IntOrString `json:"end,omitempty"`
	Format string              `json:"format,omitempty"`
}

// Arguments of a call.
type Arguments struct {
	Parameters []Parameter `json:"parameters,omitempty"`
	Artifacts  []Artifact  `json:"artifacts,omitempty"`
}

// Inputs of a template.
type Inputs struct {
	Parameters []Parameter `json:"parameters,omitempty"`
	Artifacts  []Artifact  `json:"artifacts,omitempty"`
}

// Outputs of a template or a node.
type Outputs struct {
	Parameters []Parameter `json:"parameters,omitempty"`
	Artifacts  []Artifact  `json:"artifacts,omitempty"`
	// Result is the standard output of a script.
	Result *string `json:"result,omitempty"`
	// ExitCode of the main container, in digits.
	ExitCode *string `json:"exitCode,omitempty"`
}

// Parameter is a string with a name.
type Parameter struct {
	Name        string      `json:"name"`
	Default     *AnyString  `json:"default,omitempty"`
	Value       *AnyString  `json:"value,omitempty"`
	ValueFrom   *ValueFrom  `json:"valueFrom,omitempty"`
	GlobalName  string      `json:"globalName,omitempty"`
	Enum        []AnyString `json:"enum,omitempty"`
	Description *AnyString  `json:"description,omitempty"`
}

// ValueFrom is where a parameter comes from.
type ValueFrom struct {
	Path            string                       `json:"path,omitempty"`
	Parameter       string                       `json:"parameter,omitempty"`
	Expression      string                       `json:"expression,omitempty"`
	Supplied        *SuppliedValueFrom           `json:"supplied,omitempty"`
	ConfigMapKeyRef *corev1.ConfigMapKeySelector `json:"configMapKeyRef,omitempty"`
	Default         *AnyString                   `json:"default,omitempty"`
}

// SuppliedValueFrom is a value that somebody gives when resuming.
type SuppliedValueFrom struct{}

// Artifact is a file or a folder with a name.
type Artifact struct {
	Name           string           `json:"name"`
	Path           string           `json:"path,omitempty"`
	Mode           *int32           `json:"mode,omitempty"`
	From           string           `json:"from,omitempty"`
	FromExpression string           `json:"fromExpression,omitempty"`
	SubPath        string           `json:"subPath,omitempty"`
	Optional       bool             `json:"optional,omitempty"`
	GlobalName     string           `json:"globalName,omitempty"`
	Archive        *ArchiveStrategy `json:"archive,omitempty"`
	Raw            *RawArtifact     `json:"raw,omitempty"`
	S3             *S3Artifact      `json:"s3,omitempty"`
	// Deleted is written by artifact garbage collection of other controllers.
	Deleted bool `json:"deleted,omitempty"`
}

// RawArtifact carries its content.
type RawArtifact struct {
	Data string `json:"data"`
}

// S3Artifact is an object of the default repository; other buckets are not reachable.
type S3Artifact struct {
	Key string `json:"key,omitempty"`
}

// ArchiveStrategy is how a file or folder becomes one object.
type ArchiveStrategy struct {
	Tar  *TarStrategy  `json:"tar,omitempty"`
	None *NoneStrategy `json:"none,omitempty"`
}

// TarStrategy is tar with gzip.
type TarStrategy struct {
	CompressionLevel *int32 `json:"compressionLevel,omitempty"`
}

// NoneStrategy stores a file as it is.
type NoneStrategy struct{}
