package traces

import (
	"strconv"

	"github.com/kiwerk/kiwerk/internal/tracking/mlwire"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
	"github.com/kiwerk/kiwerk/internal/tracking/route"
	"github.com/kiwerk/kiwerk/internal/tracking/traces/store"
)

// oldIn is a trace as version 2 of the API has it.
type oldIn struct {
	ID         string         `ml:"request_id"`
	Experiment string         `ml:"experiment_id"`
	Time       int64          `ml:"timestamp_ms"`
	Duration   *int64         `ml:"execution_time_ms"`
	State      state          `ml:"status"`
	Metadata   []route.PairIn `ml:"request_metadata"`
	Tags       []route.PairIn `ml:"tags"`
}

// ParseInfo reads a trace as answers of a tracking server have it, in version 3 or 2.
func ParseInfo(b []byte) (i store.Info, err error) {
	var version struct {
		Old string `ml:"request_id"`
	}
	if err := mlwire.Unmarshal(b, &version); err != nil {
		return i, err
	}
	var experiment string
	if version.Old != "" {
		var in oldIn
		if err := mlwire.Unmarshal(b, &in); err != nil {
			return i, err
		}
		experiment = in.Experiment
		i = store.Info{ID: in.ID, Time: in.Time, Duration: in.Duration, State: in.State.stored(), Tags: mapOf(in.Tags), Metadata: mapOf(in.Metadata)}
	} else {
		var in infoIn
		if err := mlwire.Unmarshal(b, &in); err != nil {
			return i, err
		}
		experiment = in.Location.Experiment.ID
		if i, err = in.info(); err != nil {
			return i, err
		}
	}
	if i.Tags == nil {
		i.Tags = map[string]string{}
	}
	if i.Metadata == nil {
		i.Metadata = map[string]string{}
	}
	if i.Experiment, err = strconv.ParseInt(experiment, 10, 64); err != nil {
		return i, model.Invalid("The trace %s is in the experiment '%s', which is no number.", i.ID, experiment)
	}
	return i, nil
}

// ParseAssessment reads an assessment as answers of a tracking server have it.
func ParseAssessment(b []byte) (store.Assessment, error) {
	var in assessmentIn
	if err := mlwire.Unmarshal(b, &in); err != nil {
		return store.Assessment{}, err
	}
	a, err := in.assessment()
	if in.Valid == nil {
		a.Valid = true
	}
	return a, err
}

// InfoJSON is a trace without its spans as answers of version 3 have it.
func InfoJSON(i store.Info) []byte {
	var w mlwire.Writer
	infoJSON(i).AppendJSON(&w)
	return w.Bytes()
}

// AssessmentJSON is an assessment as answers have it.
func AssessmentJSON(a store.Assessment) []byte {
	var w mlwire.Writer
	assessmentJSON(a).AppendJSON(&w)
	return w.Bytes()
}
