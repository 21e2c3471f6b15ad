package data

import (
	"encoding/json"
	"time"
)

// Prediction is the record of one row that an endpoint answered.
type Prediction struct {
	// ID is what the response carried; row i of several rows is "<id>.<i>".
	ID        string
	Namespace string
	Endpoint  string // InferenceService
	// ModelVersion is the registry's version, e.g. "3"; Revision is the
	// deployment that answered.
	Model        string
	ModelVersion string
	Revision     string
	// Features is the row, flattened, as sent.
	Features []float64
	// Output is the row's answer as JSON.
	Output json.RawMessage
	Time   time.Time
}

// Feedback is a label that came back for a prediction.
type Feedback struct {
	ID    string          `json:"id"`
	Label json.RawMessage `json:"label"`
}
