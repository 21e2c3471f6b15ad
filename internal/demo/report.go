package demo

import (
	"encoding/json"
	"fmt"

	"github.com/kiwerk/kiwerk/internal/atomicfile"
)

// Report is what came of the day: one flat JSON object. Every number was
// counted or measured by the demo itself or read from the platform.
type Report struct {
	AccuracyV1            float64 `json:"accuracy_v1"`
	AccuracyAfterChange   float64 `json:"accuracy_after_change"`
	AccuracyV2AfterChange float64 `json:"accuracy_v2_after_change"`
	// AccuracyLabelled is version 1 on the photographs whose labels came back.
	AccuracyLabelled float64 `json:"accuracy_labelled_after_change"`

	DriftDetected         bool `json:"drift_detected"`
	PredictionsUntilDrift int  `json:"predictions_until_drift"`
	FalseAlarms           int  `json:"false_alarms"`
	WindowsBeforeChange   int  `json:"windows_before_change"`
	// WindowsUntilDrift counts the windows after the change until the alarm.
	WindowsUntilDrift int `json:"windows_until_drift"`

	Promoted          bool    `json:"promoted"`
	ChampionScore     float64 `json:"champion_score"`
	ChallengerScore   float64 `json:"challenger_score"`
	TrainingRows      int     `json:"training_rows"`
	GateRows          int     `json:"gate_rows"`
	BadChallenger     bool    `json:"bad_challenger"`
	V1StillServing    bool    `json:"v1_still_serving"`
	DecisionReason    string  `json:"decision_reason"`
	DecisionMessage   string  `json:"decision_message"`
	LabelledImages    int     `json:"labelled_images"`
	MeasurementImages int     `json:"measurement_images"`

	RequestsBeforeChange int `json:"requests_before_change"`
	RequestsAfterChange  int `json:"requests_after_change"`
	RequestsTotal        int `json:"requests_total"`
	RequestsFailed       int `json:"requests_failed"`

	CanaryShareAsked    float64 `json:"canary_share_asked"`
	CanaryShareObserved float64 `json:"canary_share_observed"`
	CanaryRequests      int     `json:"canary_requests"`

	PlatformRSSMB float64 `json:"platform_rss_mb"`

	SecondsStart        float64 `json:"seconds_start"`
	SecondsPrepare      float64 `json:"seconds_prepare"`
	SecondsPipeline     float64 `json:"seconds_pipeline"`
	SecondsDeploy       float64 `json:"seconds_deploy"`
	SecondsMonitor      float64 `json:"seconds_monitor"`
	SecondsBeforeChange float64 `json:"seconds_before_change"`
	SecondsUntilDrift   float64 `json:"seconds_until_drift"`
	SecondsLabelling    float64 `json:"seconds_labelling"`
	SecondsRetrain      float64 `json:"seconds_retrain"`
	SecondsCanary       float64 `json:"seconds_canary"`
	SecondsMeasure      float64 `json:"seconds_measure"`
	SecondsTotal        float64 `json:"seconds_total"`

	Namespace             string `json:"namespace"`
	Endpoint              string `json:"endpoint"`
	Model                 string `json:"model"`
	ExperimentName        string `json:"experiment_name"`
	RunIDV1               string `json:"run_id_v1"`
	RunIDV2               string `json:"run_id_v2"`
	ModelVersionV1        string `json:"model_version_v1"`
	ModelVersionV2        string `json:"model_version_v2"`
	DatasetTraining       string `json:"dataset_training"`
	DatasetGate           string `json:"dataset_gate"`
	DatasetRetraining     string `json:"dataset_retraining"`
	DigestTraining        string `json:"digest_training"`
	DigestGate            string `json:"digest_gate"`
	DigestRetraining      string `json:"digest_retraining"`
	DatasetRetrainingGate string `json:"dataset_retraining_gate"`
	DigestRetrainingGate  string `json:"digest_retraining_gate"`
	WorkflowUID           string `json:"workflow_uid"`
	WorkflowName          string `json:"workflow_name"`
	RetrainWorkflowUID    string `json:"retrain_workflow_uid"`
	RetrainWorkflowName   string `json:"retrain_workflow_name"`
	AlertID               string `json:"alert_id"`
	RetrainID             string `json:"retrain_id"`
}

// write stores the report so that a reader sees the whole of it or nothing.
func (r *Report) write(file string) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	if err := atomicfile.Write(file, append(b, '\n'), 0o644); err != nil {
		return fmt.Errorf("report %s: %w", file, err)
	}
	return nil
}
