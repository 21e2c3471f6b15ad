package model

// Pair is a tag or a parameter.
type Pair struct{ Key, Value string }

// Experiment groups runs.
type Experiment struct {
	ID               int64
	Namespace        string
	Name             string
	ArtifactLocation string
	Deleted          bool
	Created, Updated int64 // milliseconds since 1970, as all times here
	Tags             []Pair
}

// RunStatus is where a run stands; the numbers travel.
type RunStatus int

// States of a run.
const (
	Running RunStatus = iota + 1
	Scheduled
	Finished
	Failed
	Killed
)

var runStatusNames = [...]string{Running: "RUNNING", Scheduled: "SCHEDULED", Finished: "FINISHED", Failed: "FAILED", Killed: "KILLED"}

// String is the name that travels.
func (s RunStatus) String() string {
	if s < Running || s > Killed {
		return "UNKNOWN"
	}
	return runStatusNames[s]
}

// SetName implements mlwire.Enum.
func (s *RunStatus) SetName(name string) bool {
	for i := Running; i <= Killed; i++ {
		if runStatusNames[i] == name {
			*s = i
			return true
		}
	}
	return false
}

// SetNumber implements mlwire.Enum.
func (s *RunStatus) SetNumber(n int64) bool {
	*s = RunStatus(n)
	return *s >= Running && *s <= Killed
}

// RunInfo is a run without what was logged to it.
type RunInfo struct {
	Row          int64 // its number in the database
	ID           string
	Name         string
	ExperimentID int64
	Namespace    string
	User         string
	Status       RunStatus
	Start        int64
	End          int64 // 0 while it runs
	ArtifactURI  string
	Deleted      bool
}

// Run is a run with the newest value of each metric.
type Run struct {
	RunInfo
	Metrics      []Metric
	Params, Tags []Pair
	Datasets     []DatasetInput
	Inputs       []string // model ids
	Outputs      []ModelOutput
}

// Metric is one point.
type Metric struct {
	Key                                 string
	Value                               float64
	Timestamp, Step                     int64
	ModelID                             string `about:"logged_model"`
	DatasetName, DatasetDigest, RunUUID string
}

// Dataset is what a run read.
type Dataset struct{ Name, Digest, SourceType, Source, Schema, Profile string }

// DatasetInput is a data set with the tags of its use.
type DatasetInput struct {
	Dataset Dataset
	Tags    []Pair
}

// DatasetSummary is a data set of an experiment.
type DatasetSummary struct {
	ExperimentID          int64
	Name, Digest, Context string
}

// ModelOutput is a logged model that a run made.
type ModelOutput struct {
	ModelID string
	Step    int64
}

// Batch is what one log-batch writes.
type Batch struct {
	Metrics      []Metric
	Params, Tags []Pair
}

// LoggedModelStatus is where the upload of a model stands.
type LoggedModelStatus int

// States of a logged model.
const (
	ModelPending LoggedModelStatus = iota + 1
	ModelReady
	ModelUploadFailed
)

var loggedModelStatusNames = [...]string{
	"LOGGED_MODEL_STATUS_UNSPECIFIED", ModelPending: "LOGGED_MODEL_PENDING",
	ModelReady: "LOGGED_MODEL_READY", ModelUploadFailed: "LOGGED_MODEL_UPLOAD_FAILED",
}

// String is the name that travels.
func (s LoggedModelStatus) String() string {
	if s < ModelPending || s > ModelUploadFailed {
		return loggedModelStatusNames[0]
	}
	return loggedModelStatusNames[s]
}

// SetName implements mlwire.Enum.
func (s *LoggedModelStatus) SetName(name string) bool {
	for i := ModelPending; i <= ModelUploadFailed; i++ {
		if loggedModelStatusNames[i] == name {
			*s = i
			return true
		}
	}
	return false
}

// SetNumber implements mlwire.Enum.
func (s *LoggedModelStatus) SetNumber(n int64) bool {
	*s = LoggedModelStatus(n)
	return *s >= ModelPending && *s <= ModelUploadFailed
}

// LoggedModel is a model that a run logged, registered or not.
type LoggedModel struct {
	Row              int64
	ID               string
	ExperimentID     int64
	Name             string
	Type             string
	SourceRun        string
	ArtifactURI      string
	Status           LoggedModelStatus
	StatusMessage    string
	Created, Updated int64
	Deleted          bool
	Params, Tags     []Pair
	Metrics          []Metric
}

// RegisteredModel is a name in the registry.
type RegisteredModel struct {
	Row              int64
	Namespace        string
	Name             string
	Description      string
	Created, Updated int64
	Tags             []Pair
	Aliases          []Alias
	Latest           []ModelVersion // newest of each stage
}

// Alias names a version.
type Alias struct {
	Name    string
	Version int64
}

// ModelVersion is a version of a registered model.
type ModelVersion struct {
	Row              int64
	Name             string
	Version          int64
	Created, Updated int64
	User             string
	Stage            string
	Description      *string
	Source           string
	StorageLocation  string
	RunID            string
	RunLink          string
	ModelID          string
	Tags             []Pair
	Aliases          []string
}

// Well-known tags.
const (
	TagRunName    = "mlflow.runName"
	TagIsPrompt   = "mlflow.prompt.is_prompt"
	TagPromptText = "mlflow.prompt.text"
	TagContext    = "mlflow.data.context"
	TagHistory    = "mlflow.log-model.history"
	TagVersionOf  = "mlflow.modelVersions"
)

// View selects by life-cycle stage.
type View int

// Views.
const (
	ActiveOnly View = iota + 1
	DeletedOnly
	All
)

// SetName implements mlwire.Enum.
func (v *View) SetName(name string) bool {
	switch name {
	case "ACTIVE_ONLY":
		*v = ActiveOnly
	case "DELETED_ONLY":
		*v = DeletedOnly
	case "ALL":
		*v = All
	default:
		return false
	}
	return true
}

// SetNumber implements mlwire.Enum.
func (v *View) SetNumber(n int64) bool {
	*v = View(n)
	return *v >= ActiveOnly && *v <= All
}

// Stage is the name of a life-cycle stage.
func Stage(deleted bool) string {
	if deleted {
		return "deleted"
	}
	return "active"
}
