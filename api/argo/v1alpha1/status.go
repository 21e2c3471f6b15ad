package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// WorkflowPhase is where a workflow stands.
type WorkflowPhase string

// Phases of a workflow; the empty one is a workflow that nobody has looked at.
const (
	WorkflowPending   WorkflowPhase = "Pending"
	WorkflowRunning   WorkflowPhase = "Running"
	WorkflowSucceeded WorkflowPhase = "Succeeded"
	WorkflowFailed    WorkflowPhase = "Failed"
	WorkflowError     WorkflowPhase = "Error"
)

// Completed tells whether nothing more will happen.
func (p WorkflowPhase) Completed() bool {
	return p == WorkflowSucceeded || p == WorkflowFailed || p == WorkflowError
}

// NodePhase is where a node stands.
type NodePhase string

// Phases of a node.
const (
	NodePending   NodePhase = "Pending"
	NodeRunning   NodePhase = "Running"
	NodeSucceeded NodePhase = "Succeeded"
	NodeSkipped   NodePhase = "Skipped"
	NodeFailed    NodePhase = "Failed"
	NodeError     NodePhase = "Error"
	NodeOmitted   NodePhase = "Omitted"
)

// Fulfilled tells whether the node has ended or will never begin.
func (p NodePhase) Fulfilled() bool { return p.Completed() || p == NodeSkipped || p == NodeOmitted }

// Completed tells whether the node has ended.
func (p NodePhase) Completed() bool { return p == NodeSucceeded || p.FailedOrError() }

// FailedOrError tells whether the node ended badly.
func (p NodePhase) FailedOrError() bool { return p == NodeFailed || p == NodeError }

// NodeType is what a node stands for.
type NodeType string

// Types of nodes.
const (
	NodeTypePod       NodeType = "Pod"
	NodeTypeSteps     NodeType = "Steps"
	NodeTypeStepGroup NodeType = "StepGroup"
	NodeTypeDAG       NodeType = "DAG"
	NodeTypeTaskGroup NodeType = "TaskGroup"
	NodeTypeRetry     NodeType = "Retry"
	NodeTypeSkipped   NodeType = "Skipped"
	NodeTypeSuspend   NodeType = "Suspend"
)

// WorkflowStatus is how a workflow stands.
type WorkflowStatus struct {
	Phase      WorkflowPhase `json:"phase,omitempty"`
	StartedAt  metav1.Time   `json:"startedAt,omitempty"`
	FinishedAt metav1.Time   `json:"finishedAt,omitempty"`
	Progress   string        `json:"progress,omitempty"`
	Message    string        `json:"message,omitempty"`

	Nodes Nodes `json:"nodes,omitempty"`
	// CompressedNodes are the nodes of a large workflow: JSON, gzip, base64.
	CompressedNodes string `json:"compressedNodes,omitempty"`

	Conditions []Condition `json:"conditions,omitempty"`
	// Outputs are those with a global name.
	Outputs *Outputs `json:"outputs,omitempty"`

	// StoredTemplates are the referenced templates as they were at the start, by scope/object/template.
	StoredTemplates map[string]Template `json:"storedTemplates,omitempty"`
	// StoredWorkflowSpec is the referenced workflow's spec as it was at the start.
	StoredWorkflowSpec *WorkflowSpec `json:"storedWorkflowTemplateSpec,omitempty"`
}

// Nodes by id.
type Nodes map[string]NodeStatus

// Condition as Argo has it: without reason and times.
type Condition struct {
	Type    string                 `json:"type,omitempty"`
	Status  metav1.ConditionStatus `json:"status,omitempty"`
	Message string                 `json:"message,omitempty"`
}

// Condition types of a workflow.
const (
	ConditionCompleted   = "Completed"
	ConditionPodRunning  = "PodRunning"
	ConditionSpecWarning = "SpecWarning"
	ConditionSpecError   = "SpecError"
)

// NodeStatus is how a node stands.
type NodeStatus struct {
	ID            string       `json:"id"`
	Name          string       `json:"name"`
	DisplayName   string       `json:"displayName,omitempty"`
	Type          NodeType     `json:"type"`
	TemplateName  string       `json:"templateName,omitempty"`
	TemplateRef   *TemplateRef `json:"templateRef,omitempty"`
	TemplateScope string       `json:"templateScope,omitempty"`
	Phase         NodePhase    `json:"phase,omitempty"`
	BoundaryID    string       `json:"boundaryID,omitempty"`
	Message       string       `json:"message,omitempty"`
	StartedAt     metav1.Time  `json:"startedAt,omitempty"`
	FinishedAt    metav1.Time  `json:"finishedAt,omitempty"`
	Progress      string       `json:"progress,omitempty"`
	PodIP         string       `json:"podIP,omitempty"`
	HostNodeName  string       `json:"hostNodeName,omitempty"`
	NodeFlag      *NodeFlag    `json:"nodeFlag,omitempty"`
	Inputs        *Inputs      `json:"inputs,omitempty"`
	Outputs       *Outputs     `json:"outputs,omitempty"`
	Children      []string     `json:"children,omitempty"`
	OutboundNodes []string     `json:"outboundNodes,omitempty"`
}

// NodeFlag tells why a node exists when no step names it.
type NodeFlag struct {
	Hooked  bool `json:"hooked,omitempty"`
	Retried bool `json:"retried,omitempty"`
}

// Labels and annotations of workflows and their pods.
const (
	LabelPhase              = "workflows.argoproj.io/phase"
	LabelCompleted          = "workflows.argoproj.io/completed"
	LabelWorkflow           = "workflows.argoproj.io/workflow"
	LabelOnExit             = "workflows.argoproj.io/on-exit"
	LabelWorkflowTemplate   = "workflows.argoproj.io/workflow-template"
	LabelClusterTemplate    = "workflows.argoproj.io/cluster-workflow-template"
	LabelResubmittedFrom    = "workflows.argoproj.io/resubmitted-from-workflow"
	AnnotationNodeID        = "workflows.argoproj.io/node-id"
	AnnotationScheduledTime = "workflows.argoproj.io/scheduled-time"
	AnnotationNodeName      = "workflows.argoproj.io/node-name"
	AnnotationPodNameFormat = "workflows.argoproj.io/pod-name-format"
	AnnotationMainContainer = "kubectl.kubernetes.io/default-container"
	MainContainer           = "main"
)
