package v1beta1

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// InferenceService is an endpoint: a model, and how it is rolled out.
//
// +kubebuilder:object:root=true
type InferenceService struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   InferenceServiceSpec   `json:"spec,omitempty"`
	Status InferenceServiceStatus `json:"status,omitempty"`
}

// InferenceServiceList is a list of endpoints.
//
// +kubebuilder:object:root=true
type InferenceServiceList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []InferenceService `json:"items"`
}

// InferenceServiceSpec is what the user wants.
type InferenceServiceSpec struct {
	Predictor PredictorSpec `json:"predictor"`

	// Not supported; their presence is reported.
	Transformer *runtime.RawExtension `json:"transformer,omitempty"`
	Explainer   *runtime.RawExtension `json:"explainer,omitempty"`
	// +kubebuilder:pruning:PreserveUnknownFields
	Canary []runtime.RawExtension `json:"canary,omitempty"`
}

// PredictorSpec says which model runs, and in what kind of pods.
type PredictorSpec struct {
	Model *ModelSpec `json:"model,omitempty"`
	// ONNX is the older spelling of a model of format onnx.
	ONNX *PredictorExtensionSpec `json:"onnx,omitempty"`

	// MinReplicas is the number of pods; 1 if unset.
	MinReplicas *int32 `json:"minReplicas,omitempty"`
	MaxReplicas int32  `json:"maxReplicas,omitempty"`
	// CanaryTrafficPercent of requests go to the newest revision, the rest to
	// the one that was rolled out before. Unset promotes, 0 is a rollback.
	CanaryTrafficPercent *int64 `json:"canaryTrafficPercent,omitempty"`
	// TimeoutSeconds of a request.
	TimeoutSeconds *int64 `json:"timeout,omitempty"`

	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`

	// Fields of the pod that are passed on.
	ServiceAccountName string              `json:"serviceAccountName,omitempty"`
	NodeSelector       map[string]string   `json:"nodeSelector,omitempty"`
	Tolerations        []corev1.Toleration `json:"tolerations,omitempty"`
	Affinity           *corev1.Affinity    `json:"affinity,omitempty"`
	PriorityClassName  string              `json:"priorityClassName,omitempty"`
	Volumes            []corev1.Volume     `json:"volumes,omitempty"`

	// SecurityContext of the pod.
	SecurityContext *corev1.PodSecurityContext `json:"securityContext,omitempty"`

	// Not supported; their presence is reported.
	Containers           *runtime.RawExtension `json:"containers,omitempty"`
	WorkerSpec           *runtime.RawExtension `json:"workerSpec,omitempty"`
	StorageURIs          *runtime.RawExtension `json:"storageUris,omitempty"`
	AutoScaling          *runtime.RawExtension `json:"autoScaling,omitempty"`
	ScaleMetric          *runtime.RawExtension `json:"scaleMetric,omitempty"`
	ScaleTarget          *runtime.RawExtension `json:"scaleTarget,omitempty"`
	ContainerConcurrency *runtime.RawExtension `json:"containerConcurrency,omitempty"`
	Logger               *runtime.RawExtension `json:"logger,omitempty"`
	Batcher              *runtime.RawExtension `json:"batcher,omitempty"`
	SKLearn              *runtime.RawExtension `json:"sklearn,omitempty"`
	XGBoost              *runtime.RawExtension `json:"xgboost,omitempty"`
	TensorFlow           *runtime.RawExtension `json:"tensorflow,omitempty"`
	PyTorch              *runtime.RawExtension `json:"pytorch,omitempty"`
	Triton               *runtime.RawExtension `json:"triton,omitempty"`
	HuggingFace          *runtime.RawExtension `json:"huggingface,omitempty"`
	PMML                 *runtime.RawExtension `json:"pmml,omitempty"`
	LightGBM             *runtime.RawExtension `json:"lightgbm,omitempty"`
	Paddle               *runtime.RawExtension `json:"paddle,omitempty"`
}

// ModelSpec names the model and its format.
type ModelSpec struct {
	ModelFormat ModelFormat `json:"modelFormat"`
	Runtime     *string     `json:"runtime,omitempty"`

	PredictorExtensionSpec `json:",inline"`
}

// ModelFormat is the format in which a model is stored.
type ModelFormat struct {
	Name    string  `json:"name"`
	Version *string `json:"version,omitempty"`
}

// PredictorExtensionSpec is what all kinds of models have in common.
type PredictorExtensionSpec struct {
	StorageURI      *string `json:"storageUri,omitempty"`
	RuntimeVersion  *string `json:"runtimeVersion,omitempty"`
	ProtocolVersion *string `json:"protocolVersion,omitempty"`

	// Fields of the container that are passed on.
	Env          []corev1.EnvVar             `json:"env,omitempty"`
	Resources    corev1.ResourceRequirements `json:"resources,omitempty"`
	VolumeMounts []corev1.VolumeMount        `json:"volumeMounts,omitempty"`

	// SecurityContext of the container.
	SecurityContext *corev1.SecurityContext `json:"securityContext,omitempty"`

	// Not supported; their presence is reported.
	Storage *runtime.RawExtension `json:"storage,omitempty"`
	Command *runtime.RawExtension `json:"command,omitempty"`
	Args    *runtime.RawExtension `json:"args,omitempty"`
	Image   *runtime.RawExtension `json:"image,omitempty"`
}

// InferenceServiceStatus is how an endpoint stands.
type InferenceServiceStatus struct {
	ObservedGeneration int64                          `json:"observedGeneration,omitempty"`
	Conditions         []Condition                    `json:"conditions,omitempty"`
	URL                string                         `json:"url,omitempty"`
	Address            *Address                       `json:"address,omitempty"`
	Components         map[string]ComponentStatusSpec `json:"components,omitempty"`
	ModelStatus        *ModelStatus                   `json:"modelStatus,omitempty"`
	DeploymentMode     string                         `json:"deploymentMode,omitempty"`
}

// Address of an endpoint.
type Address struct {
	URL string `json:"url,omitempty"`
}

// PredictorComponent is the key of the predictor in Components.
const PredictorComponent = "predictor"

// ComponentStatusSpec tells which revisions of a component exist and what share of requests each gets.
type ComponentStatusSpec struct {
	LatestReadyRevision       string          `json:"latestReadyRevision,omitempty"`
	LatestCreatedRevision     string          `json:"latestCreatedRevision,omitempty"`
	PreviousRolledoutRevision string          `json:"previousRolledoutRevision,omitempty"`
	LatestRolledoutRevision   string          `json:"latestRolledoutRevision,omitempty"`
	Traffic                   []TrafficTarget `json:"traffic,omitempty"`
	URL                       string          `json:"url,omitempty"`
	RestURL                   string          `json:"restUrl,omitempty"`
}

// TrafficTarget is the share of one revision.
type TrafficTarget struct {
	RevisionName   string `json:"revisionName,omitempty"`
	LatestRevision *bool  `json:"latestRevision,omitempty"`
	Percent        *int64 `json:"percent,omitempty"`
	Tag            string `json:"tag,omitempty"`
}

// ModelStatus tells how loading the model went.
type ModelStatus struct {
	TransitionStatus string       `json:"transitionStatus"`
	States           *ModelStates `json:"states,omitempty"`
	LastFailureInfo  *FailureInfo `json:"lastFailureInfo,omitempty"`
	Copies           *ModelCopies `json:"copies,omitempty"`
}

// ModelStates of the revision that serves and of the one that shall serve.
type ModelStates struct {
	ActiveModelState string `json:"activeModelState,omitempty"`
	TargetModelState string `json:"targetModelState,omitempty"`
}

// FailureInfo says why a model does not load.
type FailureInfo struct {
	Location          string       `json:"location,omitempty"`
	Reason            string       `json:"reason,omitempty"`
	Message           string       `json:"message,omitempty"`
	ModelRevisionName string       `json:"modelRevisionName,omitempty"`
	Time              *metav1.Time `json:"time,omitempty"`
	ExitCode          int32        `json:"exitCode,omitempty"`
}

// ModelCopies counts pods.
type ModelCopies struct {
	FailedCopies int `json:"failedCopies"`
	TotalCopies  int `json:"totalCopies,omitempty"`
}

// Values of TransitionStatus.
const (
	UpToDate            = "UpToDate"
	InProgress          = "InProgress"
	BlockedByFailedLoad = "BlockedByFailedLoad"
	InvalidSpec         = "InvalidSpec"
)

// Values of model states.
const (
	Pending      = "Pending"
	Loading      = "Loading"
	Loaded       = "Loaded"
	FailedToLoad = "FailedToLoad"
)

// Labels and annotations that our controllers and the gateway agree on.
const (
	// LabelService names the InferenceService, on Deployments and pods.
	LabelService = "serving.kserve.io/inferenceservice"
	// LabelRevision names the revision, on Deployments and pods.
	LabelRevision = "serving.kiwerk.dev/revision"
	// AnnotationModel and AnnotationModelVersion name what a revision serves,
	// AnnotationRun the run that trained it; on Deployments and pods.
	AnnotationModel        = "serving.kiwerk.dev/model"
	AnnotationModelVersion = "serving.kiwerk.dev/model-version"
	AnnotationRun          = "serving.kiwerk.dev/run"
)

// Unsupported names the fields that are set although the controller does not act on them.
func (p *PredictorSpec) Unsupported() []string {
	return present(map[string]*runtime.RawExtension{
		"containers": p.Containers, "workerSpec": p.WorkerSpec, "storageUris": p.StorageURIs, "autoScaling": p.AutoScaling,
		"scaleMetric": p.ScaleMetric, "scaleTarget": p.ScaleTarget, "logger": p.Logger, "batcher": p.Batcher,
		"containerConcurrency": p.ContainerConcurrency,
		"sklearn":              p.SKLearn, "xgboost": p.XGBoost, "tensorflow": p.TensorFlow, "pytorch": p.PyTorch, "triton": p.Triton,
		"huggingface": p.HuggingFace, "pmml": p.PMML, "lightgbm": p.LightGBM, "paddle": p.Paddle,
	})
}

// Unsupported names the fields that are set although the controller does not act on them.
func (e *PredictorExtensionSpec) Unsupported() []string {
	return present(map[string]*runtime.RawExtension{
		"storage": e.Storage, "command": e.Command, "args": e.Args, "image": e.Image,
	})
}

func present(fields map[string]*runtime.RawExtension) []string {
	var names []string
	for name, value := range fields {
		if value != nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
