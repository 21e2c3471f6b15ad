package v1alpha1

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// RetrainPolicy trains a challenger when there is a reason to, and lets it
// replace the champion if it is better.
//
// +kubebuilder:object:root=true
type RetrainPolicy struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   RetrainPolicySpec   `json:"spec,omitempty"`
	Status RetrainPolicyStatus `json:"status,omitempty"`
}

// RetrainPolicyList is a list of policies.
//
// +kubebuilder:object:root=true
type RetrainPolicyList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []RetrainPolicy `json:"items"`
}

// RetrainPolicySpec is what the user wants.
type RetrainPolicySpec struct {
	// EndpointRef is the endpoint whose model is trained again.
	EndpointRef EndpointRef `json:"endpointRef"`
	// Triggers are the reasons to begin.
	Triggers TriggersSpec `json:"triggers"`
	// MinLabelled is the number of labelled samples that must have come back before training; 0 or unset is 100.
	MinLabelled int `json:"minLabelled,omitempty"`
	// Dataset takes up the samples.
	Dataset DatasetSpec `json:"dataset"`
	// Include is "previous" to train on the former training version as well, else empty.
	Include string `json:"include,omitempty"`
	// Gate is the part of the samples that neither model is trained on.
	Gate GateSpec `json:"gate,omitempty"`
	// Template is the WorkflowTemplate that trains.
	Template TemplateSpec `json:"template"`
	// ServiceAccountName that the workflow runs under; empty takes that of the template.
	ServiceAccountName string `json:"serviceAccountName,omitempty"`
	// Cooldown after the end of a retraining before the next may begin, as 30m; unset is 1h.
	Cooldown *metav1.Duration `json:"cooldown,omitempty"`
	// Challenger says what a new model must reach.
	Challenger ChallengerSpec `json:"challenger,omitempty"`
	// Canary is the way out to all requests.
	Canary CanarySpec `json:"canary,omitempty"`
	// Approval is auto (default) or manual.
	Approval string `json:"approval,omitempty"`
	// Suspend begins no retraining; one that runs goes on.
	Suspend bool `json:"suspend,omitempty"`
}

// TriggersSpec lists reasons to retrain. At least one is needed; the annotation
// kiwerk.dev/retrain works always.
type TriggersSpec struct {
	// Drift that a ModelMonitor of the endpoint reports.
	Drift bool `json:"drift,omitempty"`
	// Schedule is a time table.
	Schedule *ScheduleTrigger `json:"schedule,omitempty"`
	// Performance is the measured performance of the champion.
	Performance *PerformanceTrigger `json:"performance,omitempty"`
}

// ScheduleTrigger is a time table.
type ScheduleTrigger struct {
	// Cron has five fields: minute, hour, day of the month, number of the month, day of the week.
	Cron string `json:"cron"`
	// TimeZone is a name of the tz database; empty is UTC.
	TimeZone string `json:"timeZone,omitempty"`
}

// PerformanceTrigger is the measured performance of the champion.
type PerformanceTrigger struct {
	// Below this accuracy, from 0 to 1, over at least 50 labels a retraining begins.
	Below float64 `json:"below"`
}

// DatasetSpec names the data set whose versions are trained on.
type DatasetSpec struct {
	// Name of the data set.
	Name string `json:"name"`
	// GateName is the data set that the parts held back become; empty is NAME-gate.
	GateName string `json:"gateName,omitempty"`
	// LabelColumn has the answers; empty is "label".
	LabelColumn string `json:"labelColumn,omitempty"`
}

// GateSpec is the part that neither model was trained on.
type GateSpec struct {
	// Fraction of the new samples that is held back, from 0 to 0.9; 0 or unset is 0.25.
	Fraction float64 `json:"fraction,omitempty"`
	// MinRows held back without which no challenger is accepted; 0 or unset is 20.
	MinRows int `json:"minRows,omitempty"`
}

// TemplateSpec says how the workflow is called.
type TemplateSpec struct {
	// Name of the WorkflowTemplate.
	Name string `json:"name"`
	// DatasetParameter gets the training part as NAME/VERSION; empty is "dataset".
	DatasetParameter string `json:"datasetParameter,omitempty"`
	// DatasetArtifact, if set, is the workflow's input artifact that gets the bytes of the training part.
	DatasetArtifact string `json:"datasetArtifact,omitempty"`
	// VersionOutput is the output parameter with the registered model version; empty is "model_version".
	VersionOutput string `json:"versionOutput,omitempty"`
	// Parameters that are passed as they are.
	Parameters []Parameter `json:"parameters,omitempty"`
	// Timeout of the workflow, as 6h; unset is 6h.
	Timeout *metav1.Duration `json:"timeout,omitempty"`
}

// Parameter of a workflow.
type Parameter struct {
	// Name of the parameter.
	Name string `json:"name"`
	// Value of it.
	Value string `json:"value"`
}

// ChallengerSpec is what a new model must reach.
type ChallengerSpec struct {
	// Metric is accuracy, the only one so far.
	Metric string `json:"metric,omitempty"`
	// MinImprovement over the accuracy of the champion on the gate part, from 0 to 1. With 0 the challenger must still be better.
	MinImprovement float64 `json:"minImprovement,omitempty"`
	// ReadyTimeout within which the challenger must answer, as 10m; unset is 10m.
	ReadyTimeout *metav1.Duration `json:"readyTimeout,omitempty"`
}

// CanarySpec is the way out to all requests.
type CanarySpec struct {
	// Steps in order; empty is one step of 10 % for 100 requests.
	Steps []CanaryStep `json:"steps,omitempty"`
	// MaxErrorRate is the share of failed requests of the challenger beyond which it is taken back, from 0 to 1; unset is 0.01.
	MaxErrorRate *float64 `json:"maxErrorRate,omitempty"`
	// MaxAccuracyDrop is how much lower than that of the champion the measured accuracy may be in the same time, from 0 to 1; unset is 0.05.
	MaxAccuracyDrop *float64 `json:"maxAccuracyDrop,omitempty"`
	// MinLabelled is the number of labels of each version before their accuracies are compared; 0 or unset is 30.
	MinLabelled int `json:"minLabelled,omitempty"`
	// StepTimeout after which a step that lacks requests is rolled back, as 24h; unset is 24h.
	StepTimeout *metav1.Duration `json:"stepTimeout,omitempty"`
}

// CanaryStep ends when both, MinRequests of the challenger and Duration, are reached.
type CanaryStep struct {
	// Percent of the requests that the challenger gets, from 1 to 100, more than in the step before.
	Percent int64 `json:"percent"`
	// MinRequests that the challenger must have answered.
	MinRequests int `json:"minRequests,omitempty"`
	// Duration that must have passed, as 10m.
	Duration *metav1.Duration `json:"duration,omitempty"`
}

// Values of fields.
const (
	IncludePrevious = "previous"
	ApprovalAuto    = "auto"
	ApprovalManual  = "manual"
)

// Annotations of a RetrainPolicy by which people act.
const (
	// AnnotationRetrain begins a retraining whenever its value is a new one.
	AnnotationRetrain = "kiwerk.dev/retrain"
	// AnnotationApprove has the version of the challenger that may go out.
	AnnotationApprove = "kiwerk.dev/approve"
	// AnnotationReject has the version of the challenger that may not, AnnotationRejectReason why.
	AnnotationReject       = "kiwerk.dev/reject"
	AnnotationRejectReason = "kiwerk.dev/reject-reason"
)

// Labels of what a retraining makes.
const (
	LabelPolicy     = "kiwerk.dev/retrain-policy"
	LabelRetraining = "kiwerk.dev/retraining"
)

// RetrainPhase is where a retraining stands.
type RetrainPhase string

// Phases in their order; the last four are ends.
const (
	// PhaseCollecting waits for labelled samples.
	PhaseCollecting RetrainPhase = "Collecting"
	// PhaseFreezing makes data-set versions of them.
	PhaseFreezing RetrainPhase = "Freezing"
	// PhaseTraining waits for the workflow.
	PhaseTraining RetrainPhase = "Training"
	// PhaseScoring runs champion and challenger over the gate part.
	PhaseScoring RetrainPhase = "Scoring"
	// PhaseAwaitingApproval waits for a person.
	PhaseAwaitingApproval RetrainPhase = "AwaitingApproval"
	// PhaseCanary gives the challenger a share of the requests.
	PhaseCanary RetrainPhase = "Canary"
	// PhasePromoting gives it all of them.
	PhasePromoting RetrainPhase = "Promoting"
	// PhaseRollingBack gives them back to the champion.
	PhaseRollingBack RetrainPhase = "RollingBack"

	// PhasePromoted: the challenger is the champion now.
	PhasePromoted RetrainPhase = "Promoted"
	// PhaseRejected: the challenger never got a request.
	PhaseRejected RetrainPhase = "Rejected"
	// PhaseRolledBack: the canary was taken back.
	PhaseRolledBack RetrainPhase = "RolledBack"
	// PhaseFailed: there is no challenger.
	PhaseFailed RetrainPhase = "Failed"
)

// Ended tells whether nothing more happens in a phase.
func (p RetrainPhase) Ended() bool {
	switch p {
	case PhasePromoted, PhaseRejected, PhaseRolledBack, PhaseFailed:
		return true
	case PhaseCollecting, PhaseFreezing, PhaseTraining, PhaseScoring, PhaseAwaitingApproval, PhaseCanary, PhasePromoting, PhaseRollingBack:
	}
	return false
}

// RetrainPolicyStatus is how the policy stands.
type RetrainPolicyStatus struct {
	// ObservedGeneration is the generation of the spec that the status is about.
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Conditions: Ready, ReferencesFound, Retraining, ApprovalNeeded, Succeeded, Stalled, SpecWarning.
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// Count of retrainings that were begun; it is part of their names.
	Count int64 `json:"count"`
	// Current is the retraining that runs, or the last one.
	Current *RetrainingStatus `json:"current,omitempty"`
	// HandledTriggers are the newest triggers that need no more answer, by kind.
	HandledTriggers map[string]string `json:"handledTriggers,omitempty"`
	// NextSchedule is when the time table is due next.
	NextSchedule *metav1.Time `json:"nextSchedule,omitempty"`
	// ScheduleFrom is the time from which NextSchedule is computed.
	ScheduleFrom *metav1.Time `json:"scheduleFrom,omitempty"`
	// ChampionDataset is the version of the data set that the champion was trained on, as far as a retraining made it.
	ChampionDataset int `json:"championDataset,omitempty"`
	// RejectedVersions of the model are never offered again.
	RejectedVersions []string `json:"rejectedVersions,omitempty"`
}

// RetrainingStatus is one retraining.
type RetrainingStatus struct {
	// ID of the retraining, the name of its workflow.
	ID string `json:"id"`
	// Phase in which it stands, or in which it ended.
	Phase RetrainPhase `json:"phase"`
	// Trigger is why it began.
	Trigger TriggerInfo `json:"trigger"`
	// Started is when it began.
	Started metav1.MicroTime `json:"started"`
	// PhaseStarted is when the phase began.
	PhaseStarted metav1.MicroTime `json:"phaseStarted"`
	// Ended is when it was over.
	Ended *metav1.MicroTime `json:"ended,omitempty"`
	// SamplesFrom is the time of the first prediction that may be trained on.
	SamplesFrom metav1.MicroTime `json:"samplesFrom"`
	// SamplesTo is the time of the last one.
	SamplesTo *metav1.MicroTime `json:"samplesTo,omitempty"`
	// Samples with a label that were found.
	Samples int `json:"samples,omitempty"`
	// TrainingRows are the distinct rows to train on.
	TrainingRows int `json:"trainingRows,omitempty"`
	// PreviousRows are those of the former version among the training data.
	PreviousRows int `json:"previousRows,omitempty"`
	// GateRows are the distinct rows that were held back.
	GateRows int `json:"gateRows,omitempty"`
	// Dataset is the version to train on, as NAME/VERSION.
	Dataset string `json:"dataset,omitempty"`
	// DatasetDigest is its sha256.
	DatasetDigest string `json:"datasetDigest,omitempty"`
	// Gate is the version that was held back, as NAME/VERSION.
	Gate string `json:"gate,omitempty"`
	// GateDigest is its sha256.
	GateDigest string `json:"gateDigest,omitempty"`
	// Workflow that trains.
	Workflow string `json:"workflow,omitempty"`
	// WorkflowUID is the uid of the workflow.
	WorkflowUID string `json:"workflowUID,omitempty"`
	// Champion is the version that served when it began.
	Champion *ModelRef `json:"champion,omitempty"`
	// Challenger is the version that the workflow made.
	Challenger *ModelRef `json:"challenger,omitempty"`
	// ChampionURI is the storageUri to go back to.
	ChampionURI string `json:"championURI,omitempty"`
	// Score compares both on the part that was held back.
	Score *ScoreStatus `json:"score,omitempty"`
	// CanaryStep is the index of the step that runs.
	CanaryStep int `json:"canaryStep,omitempty"`
	// Canary is what the challenger did with its share.
	Canary *CanaryStatus `json:"canary,omitempty"`
	// Reason why the phase is what it is, in one word.
	Reason string `json:"reason,omitempty"`
	// Message tells it in a sentence.
	Message string `json:"message,omitempty"`
}

// TriggerInfo is why a retraining began.
type TriggerInfo struct {
	// Kind is drift, schedule, performance or manual.
	Kind string `json:"kind"`
	// Key tells one trigger from the next.
	Key string `json:"key"`
	// Message tells it in a sentence.
	Message string `json:"message"`
	// AlertID of the monitor's alert.
	AlertID string `json:"alertID,omitempty"`
}

// Kinds of triggers.
const (
	TriggerDrift       = "drift"
	TriggerSchedule    = "schedule"
	TriggerPerformance = "performance"
	TriggerManual      = "manual"
)

// ScoreStatus compares both models on the gate part.
type ScoreStatus struct {
	// Metric that was compared.
	Metric string `json:"metric"`
	// Champion is the score of the former model, from 0 to 1.
	Champion float64 `json:"champion"`
	// Challenger is the score of the new model, from 0 to 1.
	Challenger float64 `json:"challenger"`
	// Rows on which both were asked.
	Rows int `json:"rows"`
	// OnlyChampion counts the rows that only the champion got right.
	OnlyChampion int `json:"onlyChampion"`
	// OnlyChallenger counts the rows that only the challenger got right.
	OnlyChallenger int `json:"onlyChallenger"`
	// P is McNemar's exact p-value.
	P float64 `json:"p"`
}

// CanaryStatus is what the challenger did with its share in the step that runs.
type CanaryStatus struct {
	// Percent of the requests that the challenger gets.
	Percent int64 `json:"percent"`
	// StepStarted is when the step began.
	StepStarted metav1.MicroTime `json:"stepStarted"`
	// Revision of the InferenceService that serves the challenger.
	Revision string `json:"revision,omitempty"`
	// Requests of the challenger in this step.
	Requests int `json:"requests"`
	// Errors of the challenger in all steps.
	Errors int64 `json:"errors"`
	// ErrorsBefore is the counter of errors when the canary began.
	ErrorsBefore int64 `json:"errorsBefore,omitempty"`
	// RequestsBefore is the counter of requests when the canary began.
	RequestsBefore int64 `json:"requestsBefore,omitempty"`
	// ChallengerLabelled rows since the canary began.
	ChallengerLabelled int `json:"challengerLabelled,omitempty"`
	// ChallengerAccuracy of them, from 0 to 1.
	ChallengerAccuracy float64 `json:"challengerAccuracy,omitempty"`
	// ChampionLabelled rows since the canary began.
	ChampionLabelled int `json:"championLabelled,omitempty"`
	// ChampionAccuracy of them, from 0 to 1.
	ChampionAccuracy float64 `json:"championAccuracy,omitempty"`
}

// Conditions of a RetrainPolicy beside Ready, Reconciling and Stalled.
const (
	// ConditionReferencesFound: everything that the spec names is there.
	ConditionReferencesFound = "ReferencesFound"
	// ConditionRetraining: a retraining runs.
	ConditionRetraining = "Retraining"
	// ConditionApprovalNeeded: a person has to decide.
	ConditionApprovalNeeded = "ApprovalNeeded"
	// ConditionSucceeded: how the last retraining ended.
	ConditionSucceeded = "Succeeded"
)

// Reasons of phases and conditions.
const (
	ReasonIdle              = "Idle"
	ReasonWaitingForLabels  = "WaitingForLabels"
	ReasonWorkflowRunning   = "WorkflowRunning"
	ReasonWorkflowFailed    = "WorkflowFailed"
	ReasonWorkflowTimeout   = "WorkflowTimeout"
	ReasonNoChallenger      = "NoChallenger"
	ReasonRejectedBefore    = "RejectedBefore"
	ReasonChallengerLoading = "ChallengerLoading"
	ReasonChallengerFailed  = "ChallengerFailed"
	ReasonGateTooSmall      = "GateTooSmall"
	ReasonNotBetter         = "NotBetter"
	ReasonBetter            = "Better"
	ReasonAwaitingApproval  = "AwaitingApproval"
	ReasonApproved          = "Approved"
	ReasonRejectedByPerson  = "RejectedByPerson"
	ReasonCanaryRunning     = "CanaryRunning"
	ReasonCanaryStepPassed  = "CanaryStepPassed"
	ReasonCanaryPassed      = "CanaryPassed"
	ReasonErrorRate         = "ErrorRate"
	ReasonAccuracyDrop      = "AccuracyDrop"
	ReasonCanaryTimeout     = "CanaryTimeout"
	ReasonChampionChanged   = "ChampionChanged"
	ReasonPromoted          = "Promoted"
)

// Conditions gives access to the conditions.
func (p *RetrainPolicy) Conditions() *[]metav1.Condition { return &p.Status.Conditions }

// SetObservedGeneration says which spec the status is about.
func (p *RetrainPolicy) SetObservedGeneration(g int64) { p.Status.ObservedGeneration = g }

// WithDefaults is the spec with every empty field filled.
func (s RetrainPolicySpec) WithDefaults() RetrainPolicySpec {
	fill(&s.MinLabelled, 100)
	fill(&s.Dataset.GateName, s.Dataset.Name+"-gate")
	fill(&s.Dataset.LabelColumn, "label")
	fill(&s.Gate.Fraction, 0.25)
	fill(&s.Gate.MinRows, 20)
	fill(&s.Template.DatasetParameter, "dataset")
	fill(&s.Template.VersionOutput, "model_version")
	fillTime(&s.Template.Timeout, 6*time.Hour)
	fillTime(&s.Cooldown, time.Hour)
	fill(&s.Challenger.Metric, MetricAccuracy)
	fillTime(&s.Challenger.ReadyTimeout, 10*time.Minute)
	if len(s.Canary.Steps) == 0 {
		s.Canary.Steps = []CanaryStep{{Percent: 10, MinRequests: 100}}
	}
	fillNumber(&s.Canary.MaxErrorRate, 0.01)
	fillNumber(&s.Canary.MaxAccuracyDrop, 0.05)
	fill(&s.Canary.MinLabelled, 30)
	fillTime(&s.Canary.StepTimeout, 24*time.Hour)
	fill(&s.Approval, ApprovalAuto)
	return s
}

func fillTime(field **metav1.Duration, d time.Duration) {
	if *field == nil {
		*field = &metav1.Duration{Duration: d}
	}
}

func fillNumber(field **float64, v float64) {
	if *field == nil {
		*field = &v
	}
}
