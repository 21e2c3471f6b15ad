package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Workflow is one run of a pipeline.
//
// +kubebuilder:object:root=true
type Workflow struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   WorkflowSpec   `json:"spec"`
	Status WorkflowStatus `json:"status,omitempty"`
}

// WorkflowList is a list of workflows.
//
// +kubebuilder:object:root=true
type WorkflowList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []Workflow `json:"items"`
}

// WorkflowTemplate is a stored workflow that others refer to or start.
//
// +kubebuilder:object:root=true
type WorkflowTemplate struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec WorkflowSpec `json:"spec"`
}

// WorkflowTemplateList is a list of workflow templates.
//
// +kubebuilder:object:root=true
type WorkflowTemplateList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []WorkflowTemplate `json:"items"`
}

// ClusterWorkflowTemplate is a WorkflowTemplate for all namespaces.
//
// +kubebuilder:object:root=true
type ClusterWorkflowTemplate struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec WorkflowSpec `json:"spec"`
}

// ClusterWorkflowTemplateList is a list of cluster workflow templates.
//
// +kubebuilder:object:root=true
type ClusterWorkflowTemplateList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []ClusterWorkflowTemplate `json:"items"`
}

// WorkflowSpec says what to run.
type WorkflowSpec struct {
	Entrypoint          string               `json:"entrypoint,omitempty"`
	Templates           []Template           `json:"templates,omitempty"`
	Arguments           Arguments            `json:"arguments,omitempty"`
	WorkflowTemplateRef *WorkflowTemplateRef `json:"workflowTemplateRef,omitempty"`
	TemplateDefaults    *Template            `json:"templateDefaults,omitempty"`
	WorkflowMetadata    *WorkflowMetadata    `json:"workflowMetadata,omitempty"`

	OnExit string         `json:"onExit,omitempty"`
	Hooks  LifecycleHooks `json:"hooks,omitempty"`

	Suspend               *bool            `json:"suspend,omitempty"`
	Shutdown              ShutdownStrategy `json:"shutdown,omitempty"`
	ActiveDeadlineSeconds *int64           `json:"activeDeadlineSeconds,omitempty"`
	Parallelism           *int64           `json:"parallelism,omitempty"`
	RetryStrategy         *RetryStrategy   `json:"retryStrategy,omitempty"`
	TTLStrategy           *TTLStrategy     `json:"ttlStrategy,omitempty"`
	PodGC                 *PodGC           `json:"podGC,omitempty"`

	Volumes              []corev1.Volume                `json:"volumes,omitempty"`
	VolumeClaimTemplates []corev1.PersistentVolumeClaim `json:"volumeClaimTemplates,omitempty"`
	VolumeClaimGC        *VolumeClaimGC                 `json:"volumeClaimGC,omitempty"`

	ServiceAccountName           string                        `json:"serviceAccountName,omitempty"`
	AutomountServiceAccountToken *bool                         `json:"automountServiceAccountToken,omitempty"`
	PodMetadata                  *Metadata                     `json:"podMetadata,omitempty"`
	PodSpecPatch                 string                        `json:"podSpecPatch,omitempty"`
	PodPriorityClassName         string                        `json:"podPriorityClassName,omitempty"`
	Priority                     *int32                        `json:"priority,omitempty"`
	NodeSelector                 map[string]string             `json:"nodeSelector,omitempty"`
	Affinity                     *corev1.Affinity              `json:"affinity,omitempty"`
	Tolerations                  []corev1.Toleration           `json:"tolerations,omitempty"`
	SchedulerName                string                        `json:"schedulerName,omitempty"`
	ImagePullSecrets             []corev1.LocalObjectReference `json:"imagePullSecrets,omitempty"`
	HostNetwork                  *bool                         `json:"hostNetwork,omitempty"`
	HostAliases                  []corev1.HostAlias            `json:"hostAliases,omitempty"`
	DNSPolicy                    *corev1.DNSPolicy             `json:"dnsPolicy,omitempty"`
	DNSConfig                    *corev1.PodDNSConfig          `json:"dnsConfig,omitempty"`
	SecurityContext              *corev1.PodSecurityContext    `json:"securityContext,omitempty"`
}

// WorkflowTemplateRef names the template that a whole workflow is taken from.
type WorkflowTemplateRef struct {
	Name         string `json:"name,omitempty"`
	ClusterScope bool   `json:"clusterScope,omitempty"`
}

// WorkflowMetadata is put on the workflow object itself.
type WorkflowMetadata struct {
	Labels      map[string]string         `json:"labels,omitempty"`
	Annotations map[string]string         `json:"annotations,omitempty"`
	LabelsFrom  map[string]LabelValueFrom `json:"labelsFrom,omitempty"`
}

// LabelValueFrom computes the value of a label.
type LabelValueFrom struct {
	Expression string `json:"expression,omitempty"`
}

// Metadata is put on pods.
type Metadata struct {
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// ShutdownStrategy is how a user ends a workflow early.
type ShutdownStrategy string

// Ways to end early: Terminate skips exit handlers, Stop runs them.
const (
	ShutdownTerminate ShutdownStrategy = "Terminate"
	ShutdownStop      ShutdownStrategy = "Stop"
)

// TTLStrategy says when a completed workflow is deleted.
type TTLStrategy struct {
	SecondsAfterCompletion *int32 `json:"secondsAfterCompletion,omitempty"`
	SecondsAfterSuccess    *int32 `json:"secondsAfterSuccess,omitempty"`
	SecondsAfterFailure    *int32 `json:"secondsAfterFailure,omitempty"`
}

// PodGC says when the pods of steps are deleted.
type PodGC struct {
	Strategy            string                `json:"strategy,omitempty"`
	LabelSelector       *metav1.LabelSelector `json:"labelSelector,omitempty"`
	DeleteDelayDuration string                `json:"deleteDelayDuration,omitempty"`
}

// Strategies of PodGC.
const (
	PodGCOnPodCompletion      = "OnPodCompletion"
	PodGCOnPodSuccess         = "OnPodSuccess"
	PodGCOnWorkflowCompletion = "OnWorkflowCompletion"
	PodGCOnWorkflowSuccess    = "OnWorkflowSuccess"
)

// VolumeClaimGC says when claims made from volumeClaimTemplates are deleted.
type VolumeClaimGC struct {
	Strategy string `json:"strategy,omitempty"`
}

// LifecycleHooks by name; "exit" runs when its owner has ended.
type LifecycleHooks map[string]LifecycleHook

// ExitHook is the name of the hook that runs at the end.
const ExitHook = "exit"

// LifecycleHook runs a template beside or after its owner.
type LifecycleHook struct {
	Template    string       `json:"template,omitempty"`
	TemplateRef *TemplateRef `json:"templateRef,omitempty"`
	Arguments   Arguments    `json:"arguments,omitempty"`
	Expression  string       `json:"expression,omitempty"`
}

// RetryStrategy repeats a template that failed.
type RetryStrategy struct {
	Limit       *intstr.IntOrString `json:"limit,omitempty"`
	RetryPolicy RetryPolicy         `json:"retryPolicy,omitempty"`
	Backoff     *Backoff            `json:"backoff,omitempty"`
	Expression  string              `json:"expression,omitempty"`
}

// RetryPolicy says after which ends a template is repeated.
type RetryPolicy string

// Retry policies.
const (
	RetryAlways           RetryPolicy = "Always"
	RetryOnFailure        RetryPolicy = "OnFailure"
	RetryOnError          RetryPolicy = "OnError"
	RetryOnTransientError RetryPolicy = "OnTransientError"
)

// Backoff is the pause between attempts.
type Backoff struct {
	Duration    AnyString           `json:"duration,omitempty"`
	Factor      *intstr.IntOrString `json:"factor,omitempty"`
	MaxDuration AnyString           `json:"maxDuration,omitempty"`
	Cap         AnyString           `json:"cap,omitempty"`
}
